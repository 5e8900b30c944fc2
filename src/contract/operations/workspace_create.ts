import { z } from 'zod'
import type { ErrorCode } from '../errors.ts'
import { environmentName, labels, lifetimes, limits, placement, workspace, workspaceName } from '../fields.ts'
import { seedFields } from '../seed.ts'
import { operation } from '../operation.ts'

/** What starting any sandbox can say. */
export const SANDBOX_ERRORS: ErrorCode[] = [
  'environment_not_found',
  'environment_damaged',
  'home_unsuitable',
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

/** What making any workspace can say, also one that lives for a single command. */
export const CREATE_ERRORS: ErrorCode[] = [
  ...SANDBOX_ERRORS,
  'seed_not_found',
  'seed_unsupported',
  'seed_unreadable',
  'seed_invalid',
  'seed_overlap',
  'seed_too_large',
  'seed_changed',
  'backend_unavailable',
]

export default operation({
  name: 'workspace_create',
  command: ['workspace', 'create'],
  sdk: 'createWorkspace',
  tool: 'workspace_create',
  summary: 'Create a workspace and start it.',
  description:
    'The seed is copied, so nothing done inside reaches it. From a git checkout the tracked and the untracked, not ignored ' +
    'files are taken, and a .git of its own: the same HEAD, branches, index and stash, no hooks, no credentials, no path ' +
    'of this machine, and only the history that something leads to; from any other directory all files; what cannot be ' +
    'read is skipped and listed. An archive (tar, also compressed by gzip or zstd, told by its content) is taken whole or ' +
    'refused: nothing in it may lead out of it. Set-id bits and extended attributes are left out. Costs a copy of the seed, ' +
    'plus a start of tens of milliseconds.',
  input: z
    .object({
      environment: environmentName,
      ...seedFields,
      name: workspaceName.optional(),
      labels: labels.default({}),
      ...placement,
      ...limits,
      ...lifetimes,
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
      'workspace create host --seed-path ./release.tar.zst',
      'workspace create host --label team=core --id-only',
      'workspace create host --repo https://git.example.org/team/project.git --ref v1.2',
      'workspace create host --idle-seconds 3600 --ttl-seconds 604800',
      'workspace create debian:12-base --isolation machine --disk-mib 8192',
    ],
  },
})
