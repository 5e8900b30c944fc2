import { z } from 'zod'
import { environmentName, environmentUser } from '../fields.ts'
import { operation } from '../operation.ts'

const part = {
  what: z.enum(['environment', 'guest', 'leftover']).describe('guest: a kernel or an initramfs of machines.'),
  environment: z.string().nullable(),
  path: z.string(),
  bytes: z.int().describe('Bytes of the disk that it takes.'),
}

export default operation({
  name: 'env_prune',
  command: ['env', 'prune'],
  sdk: 'pruneEnvironments',
  tool: 'vm_prune_environments',
  summary: 'Remove built environments that nothing needs.',
  description:
    'Takes away what a newer build has replaced, what an older Pyro built, and what interrupted builds left. With all, also ' +
    'what new workspaces would be made from; it is built again when one needs it. With a name, everything of that environment. ' +
    'What a workspace was made from stays, whichever home of the cache it belongs to.',
  input: z
    .object({
      environment: environmentName
        .optional()
        .describe('Only this one, and all of it; refused while a workspace needs it.'),
      all: z.boolean().default(false).describe('Also what new workspaces would be made from.'),
      dry_run: z.boolean().default(false).describe('Only say what would be removed.'),
    })
    .strict(),
  output: z.object({
    dry_run: z.boolean(),
    freed_bytes: z.int(),
    removed: z.array(z.object(part)),
    kept: z.array(
      z.object({
        ...part,
        reason: z.enum(['current', 'in_use']).describe('current: new workspaces are made from it.'),
        used_by: z.array(environmentUser),
      }),
    ),
  }),
  effects: { readOnly: false, destructive: true, idempotent: true },
  errors: ['environment_not_found', 'environment_in_use', 'native_missing', 'io_error', 'cancelled'],
  cli: {
    positionals: ['environment'],
    examples: ['env prune --dry-run', 'env prune', 'env prune --all', 'env prune debian:12-build'],
  },
})
