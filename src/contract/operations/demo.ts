import { z } from 'zod'
import { command, environmentName, hostPath, insidePath, placement } from '../fields.ts'
import { operation } from '../operation.ts'

export default operation({
  name: 'demo',
  command: ['demo'],
  sdk: 'demo',
  tool: null,
  summary: 'Show the main job once: create, run, take out, throw away.',
  description:
    'Creates a workspace from a directory or an archive, runs a command in it with live output, exports a file that it made, and deletes the workspace.',
  input: z
    .object({
      environment: environmentName.default('host'),
      ...placement,
      seed_path: hostPath.describe('Directory or archive the workspace is made from.'),
      command: command.default('ls -la && git --version && echo "made by the demo" > DEMO.txt'),
      path: insidePath.default('DEMO.txt').describe('File to export afterwards.'),
      output_path: hostPath
        .optional()
        .describe('Where the exported file goes. Default: it is checked and removed.'),
    })
    .strict(),
  output: z.object({
    ok: z.boolean(),
    workspace_id: z.string(),
    exit_code: z.int().nullable(),
    steps: z.array(z.object({ name: z.string(), detail: z.string(), duration_ms: z.number() })),
  }),
  effects: { readOnly: false, destructive: false, idempotent: true },
  errors: [
    'environment_not_found',
    'seed_not_found',
    'seed_unsupported',
    'seed_invalid',
    'backend_unavailable',
    'runtime_missing',
    'runtime_failed',
    'disk_full',
  ],
  cli: { hidden: [], examples: ['demo --seed-path .'] },
})
