import { z } from 'zod'
import { commandFields, environmentName, execResult, lifetimes, limits, placement } from '../fields.ts'
import { seedFields } from '../seed.ts'
import { operation } from '../operation.ts'
import { CREATE_ERRORS } from './workspace_create.ts'

const { stdin_open: _open, ...fields } = commandFields

export default operation({
  name: 'run',
  command: ['run'],
  sdk: 'runInVm',
  tool: 'vm_run',
  summary: 'Run one command in a workspace of its own and throw the workspace away.',
  description:
    'Creates a workspace, optionally seeded from a directory, an archive or a repository, runs the command and deletes everything. When the command ' +
    'outlives wait_ms the answer has state "running": go on with workspace_job_read; the workspace is deleted once its ' +
    'output was read to the end, or 15 minutes after the command ended.',
  input: z
    .object({
      environment: environmentName,
      ...fields,
      ...seedFields,
      ...placement,
      ...limits,
      ttl_seconds: lifetimes.ttl_seconds,
    })
    .strict(),
  output: execResult.extend({ environment: z.string(), deleted: z.boolean() }),
  effects: { readOnly: false, destructive: false, idempotent: false },
  errors: [...CREATE_ERRORS, 'cwd_not_found', 'user_not_found'],
  cli: {
    positionals: ['environment'],
    rest: 'command',
    flags: { env: 'env' },
    hidden: ['stdin', 'wait_ms', 'max_output_bytes', 'attach'],
    examples: [
      'run host -- python3 -c "print(6 * 7)"',
      'run host --seed-path . --timeout-seconds 60 -- make test',
    ],
  },
})
