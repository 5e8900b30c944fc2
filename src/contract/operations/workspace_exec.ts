import { z } from 'zod'
import { commandFields, execResult, workspaceRef } from '../fields.ts'
import { operation } from '../operation.ts'

export default operation({
  name: 'workspace_exec',
  command: ['workspace', 'exec'],
  sdk: 'execWorkspace',
  tool: 'workspace_exec',
  summary: 'Run a command in a workspace.',
  description:
    'Answers when the command has ended, or after wait_ms with state "running" and a job_id: the command goes on, and ' +
    'workspace_job_read continues from the cursors. It survives a lost client and a killed engine. A command that fails is a ' +
    'result with an exit code, not an error. Processes it leaves behind live on.',
  input: z.object({ workspace_id: workspaceRef, ...commandFields }).strict(),
  output: execResult,
  effects: { readOnly: false, destructive: true, idempotent: false },
  errors: [
    'workspace_not_found',
    'wrong_state',
    'cwd_not_found',
    'user_not_found',
    'too_many_jobs',
    'disk_full',
    'guest_unreachable',
  ],
  cli: {
    positionals: ['workspace_id'],
    rest: 'command',
    flags: { env: 'env' },
    hidden: ['stdin', 'stdin_open', 'wait_ms', 'max_output_bytes', 'attach'],
    examples: [
      'workspace exec fix-login -- npm test',
      'workspace exec fix-login --cwd /workspace/src -- ls -la',
    ],
  },
})
