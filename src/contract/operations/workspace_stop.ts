import { z } from 'zod'
import { workspace, workspaceRef } from '../fields.ts'
import { operation } from '../operation.ts'

export default operation({
  name: 'workspace_stop',
  command: ['workspace', 'stop'],
  sdk: 'stopWorkspace',
  tool: 'workspace_stop',
  summary: 'End what runs in a workspace, and keep its files.',
  description:
    'Every command gets SIGTERM and, after the grace time, SIGKILL; then the sandbox ends. Files stay, below /workspace ' +
    'and everywhere else but in memory: /run, /dev/shm and other tmpfs are lost. Output can still be read, files ' +
    'exported. One that is stopped already stays so.',
  input: z
    .object({
      workspace_id: workspaceRef,
      grace_ms: z
        .int()
        .min(0)
        .max(60_000)
        .default(10_000)
        .describe('Milliseconds between SIGTERM and SIGKILL.'),
    })
    .strict(),
  output: workspace,
  effects: { readOnly: false, destructive: true, idempotent: true },
  errors: ['workspace_not_found', 'wrong_state', 'runtime_failed', 'machine_failed', 'disk_full', 'io_error'],
  cli: {
    positionals: ['workspace_id'],
    examples: ['workspace stop fix-login', 'workspace stop fix-login --grace-ms 0'],
  },
})
