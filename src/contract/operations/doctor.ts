import { z } from 'zod'
import { environmentName, environmentState } from '../fields.ts'
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
    'workspace. What is not as it could be comes with the reason and the one command that mends it.' +
    ' Says whether the environment is built, and what building it would cost; it is tried only where it is built.',
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
  errors: ['environment_not_found'],
  cli: { examples: ['doctor', 'doctor --environment debian:12', 'doctor --json'] },
})
