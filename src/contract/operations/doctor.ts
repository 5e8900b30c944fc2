import { z } from 'zod'
import { environmentName } from '../fields.ts'
import { operation } from '../operation.ts'

export default operation({
  name: 'doctor',
  command: ['doctor'],
  sdk: 'doctor',
  tool: 'doctor',
  summary: 'Say what is slower, weaker or missing on this machine, and what would mend it.',
  description:
    'Looks at what sandboxes need of this machine (namespaces, ids, control groups, KVM, programs, file systems; also ' +
    'inside containers, runners of continuous integration and WSL), then tries each part for real, to a command in a ' +
    'workspace. What is not as it could be comes with the reason and the one command that mends it.',
  input: z.object({ environment: environmentName.default('host') }).strict(),
  output: z.object({
    ok: z.boolean().describe('A workspace can be created here.'),
    checks: z.array(
      z.object({
        name: z.string(),
        status: z
          .enum(['ok', 'slower', 'weaker', 'missing'])
          .describe(
            'slower: works and takes longer than it need; weaker: with less isolation, fewer limits or more risk; missing: not here.',
          ),
        why: z.string().describe('What was found.'),
        command: z
          .string()
          .nullable()
          .describe('Mends it; null where nothing is to mend, or no command can.'),
      }),
    ),
  }),
  effects: { readOnly: true, destructive: false, idempotent: true },
  errors: [],
  cli: { examples: ['doctor', 'doctor --json'] },
})
