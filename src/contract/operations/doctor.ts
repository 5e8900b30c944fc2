import { z } from 'zod'
import { environmentName, environmentState } from '../fields.ts'
import { operation } from '../operation.ts'

export default operation({
  name: 'doctor',
  command: ['doctor'],
  sdk: 'doctor',
  tool: 'doctor',
  summary: 'Say what works on this machine, what does not, and what would mend it.',
  description:
    'Tries each part for real: the native binary, the holder, user namespaces, the OCI runtime, overlays, limits. ' +
    'Says whether the environment is built and what building it would cost; it is tried only where it is built.',
  input: z.object({ environment: environmentName.default('host') }).strict(),
  output: z.object({
    ok: z.boolean().describe('A workspace can be created here.'),
    environment: z
      .object({
        name: z.string(),
        state: environmentState,
        reasons: z.array(z.string()).describe('Why it is stale, damaged or unavailable.'),
        pull: z
          .object({
            packages: z.int(),
            download_bytes: z.int(),
            disk_bytes: z
              .int()
              .describe('Of the installed packages; an image for machines takes about as much again.'),
          })
          .nullable()
          .describe(
            "What a pull would fetch and fill, by this machine's package lists; null: nothing, or not known.",
          ),
      })
      .nullable(),
    checks: z.array(
      z.object({
        name: z.string(),
        status: z.enum(['ok', 'warning', 'failed']),
        message: z.string(),
        hint: z.string().nullable(),
      }),
    ),
  }),
  effects: { readOnly: true, destructive: false, idempotent: true },
  errors: [],
  cli: { examples: ['doctor', 'doctor --environment debian:12', 'doctor --json'] },
})
