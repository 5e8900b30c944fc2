import { z } from 'zod'
import type { ErrorCode } from '../errors.ts'
import {
  environmentName,
  labels,
  limits,
  placement,
  seedFields,
  workspace,
  workspaceName,
} from '../fields.ts'
import { operation } from '../operation.ts'

/** What making any workspace can say, also one that lives for a single command. */
export const CREATE_ERRORS: ErrorCode[] = [
  'environment_not_found',
  'seed_not_found',
  'seed_not_directory',
  'seed_overlap',
  'seed_too_large',
  'seed_changed',
  'seed_bare',
  'git_failed',
  'repo_unreachable',
  'ref_not_found',
  'timed_out',
  'home_unsuitable',
  'backend_unavailable',
  'runtime_missing',
  'runtime_failed',
  'subids_missing',
  'userns_denied',
  'native_missing',
  'tool_missing',
  'package_missing',
  'build_failed',
  'disk_full',
  'guest_unreachable',
  'cancelled',
]

export default operation({
  name: 'workspace_create',
  command: ['workspace', 'create'],
  sdk: 'createWorkspace',
  tool: 'workspace_create',
  summary: 'Create a workspace and start it.',
  description:
    'The seed directory is copied, so nothing done inside reaches it. From a git checkout the tracked and the untracked, ' +
    'not ignored files are taken, and a .git of its own: the same HEAD, branches, index and stash, no hooks, no ' +
    'credentials, no path of this machine, and only the history that something leads to. From any other directory all ' +
    'files are taken. What cannot be read is skipped and listed. Costs a copy of the seed, plus a start of tens of milliseconds.',
  input: z
    .object({
      environment: environmentName,
      ...seedFields,
      name: workspaceName.optional(),
      labels: labels.default({}),
      ...placement,
      ...limits,
    })
    .strict(),
  output: workspace,
  effects: { readOnly: false, destructive: false, idempotent: false },
  errors: ['name_taken', ...CREATE_ERRORS],
  cli: {
    positionals: ['environment'],
    flags: { labels: 'label' },
    examples: [
      'workspace create host --seed-path . --name fix-login',
      'workspace create host --label team=core --id-only',
      'workspace create host --repo https://git.example.org/team/project.git --ref v1.2',
      'workspace create debian:12-base --isolation machine --disk-mib 8192',
    ],
  },
})
