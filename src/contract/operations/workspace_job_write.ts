import { z } from 'zod'
import { workspaceRef } from '../fields.ts'
import { operation } from '../operation.ts'

export default operation({
  name: 'workspace_job_write',
  command: ['workspace', 'job', 'write'],
  sdk: 'writeJob',
  tool: 'workspace_job_write',
  summary: "Write to a running command's standard input.",
  description: 'For commands started with stdin_open. With eof the input is closed after the data.',
  input: z
    .object({
      workspace_id: workspaceRef,
      job_id: z.string().min(1).max(64),
      data: z.string().max(1_048_576).default(''),
      encoding: z.enum(['utf-8', 'base64']).default('utf-8'),
      eof: z.boolean().default(false),
    })
    .strict(),
  output: z.object({ workspace_id: z.string(), job_id: z.string(), written: z.int() }),
  effects: { readOnly: false, destructive: false, idempotent: false },
  errors: ['workspace_not_found', 'wrong_state', 'job_not_found', 'stdin_closed', 'guest_unreachable'],
  cli: {
    positionals: ['workspace_id', 'job_id'],
    examples: ['workspace job write fix-login job-3 --data "yes" --eof'],
  },
})
