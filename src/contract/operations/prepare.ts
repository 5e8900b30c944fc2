import { z } from 'zod'
import type { ErrorCode } from '../errors.ts'
import { environmentName } from '../fields.ts'
import { operation } from '../operation.ts'

/** What building an environment can say. */
export const BUILD_ERRORS: ErrorCode[] = [
  'environment_not_found',
  'environment_damaged',
  'tool_missing',
  'package_missing',
  'build_failed',
  'not_supported',
  'subids_missing',
  'userns_denied',
  'native_missing',
  'disk_full',
  'cancelled',
]
export const imageFile = z
  .object({ path: z.string().describe('Read-only image (erofs), for machines.'), bytes: z.int() })
  .nullable()
  .describe('null: none was needed, or the environment is for containers only.')
export const guestFiles = z
  .object({
    kernel_version: z.string(),
    kernel: z.string().describe('Path of the kernel that machines boot.'),
    initramfs: z.string(),
    fingerprint: z.string().describe('Names exactly these two files.'),
  })
  .nullable()

export default operation({
  name: 'prepare',
  command: ['prepare'],
  sdk: 'prepareEnvironment',
  tool: null,
  summary: 'Build what is missing of an environment, for containers and for machines.',
  description:
    'What creating a workspace would have to build first, whatever runs it: the root file system, and for machines its image ' +
    'and the kernel they boot. What is there is taken as it is; env pull is what renews it.',
  input: z.object({ environment: environmentName.default('debian:12-base') }).strict(),
  output: z.object({
    environment: z.string(),
    state: z.enum(['ready']),
    built: z.boolean().describe('Something was built by this call.'),
    duration_ms: z.number(),
    root: z.string().describe('Sealed directory, for containers.'),
    image: imageFile,
    guest: guestFiles,
  }),
  effects: { readOnly: false, destructive: false, idempotent: true },
  errors: BUILD_ERRORS,
  cli: { positionals: ['environment'], examples: ['prepare', 'prepare debian:12 --json'] },
})
