import { z } from 'zod'
import { operation } from '../operation.ts'

export default operation({
  name: 'daemon_token',
  command: ['daemon', 'token'],
  sdk: 'tokenDaemon',
  tool: null,
  summary: 'Print the token that HTTP asks for, or replace it.',
  description:
    'It is made at first use, of 256 random bits, and lies in a file of mode 0600 in PYRO_HOME. Whoever has it can do what ' +
    'the user of the engine can: give it to a program as PYRO_TOKEN, never as an argument. After --rotate the old one is ' +
    'refused, and connections that used it are closed.',
  input: z
    .object({ rotate: z.boolean().default(false).describe('Make a new token; the old one is refused.') })
    .strict(),
  output: z.object({
    token: z.string(),
    token_file: z.string(),
    rotated: z.boolean(),
  }),
  effects: { readOnly: false, destructive: false, idempotent: false },
  localOnly: true,
  errors: ['local_only', 'home_unsuitable', 'disk_full'],
  cli: { examples: ['daemon token', 'daemon token --rotate'] },
})
