import { z } from 'zod'
import { environmentName } from '../fields.ts'
import { operation } from '../operation.ts'

export default operation({
  name: 'doctor',
  command: ['doctor'],
  sdk: 'doctor',
  tool: 'doctor',
  summary: 'Say what works on this machine, what does not, and what would mend it.',
  description:
    'Tries each part for real: the native binary, the holder, user namespaces, the OCI runtime, overlays, limits.',
  input: z.object({ environment: environmentName.default('host') }).strict(),
  output: z.object({
    ok: z.boolean().describe('A workspace can be created here.'),
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
  cli: { examples: ['doctor', 'doctor --json'] },
})
