import { z } from 'zod'
import { execResult, workspaceRef } from '../fields.ts'
import { operation } from '../operation.ts'

export default operation({
  name: 'workspace_logs',
  command: ['workspace', 'logs'],
  sdk: 'logsWorkspace',
  tool: 'workspace_logs',
  summary: 'Show the commands of a workspace with their output.',
  description:
    'The last commands in order, each with the end of its output as far as it is kept; also after the sandbox ended.',
  input: z
    .object({
      workspace_id: workspaceRef,
      limit: z.int().min(1).max(1000).default(20),
      max_output_bytes: z
        .int()
        .min(0)
        .max(1_048_576)
        .default(16_384)
        .describe('Most bytes of each stream, from its end.'),
    })
    .strict(),
  output: z.object({ workspace_id: z.string(), entries: z.array(execResult) }),
  effects: { readOnly: true, destructive: false, idempotent: true },
  errors: ['workspace_not_found', 'guest_unreachable'],
  cli: { positionals: ['workspace_id'], examples: ['workspace logs fix-login --limit 5'] },
})
