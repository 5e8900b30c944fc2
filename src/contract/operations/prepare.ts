import { z } from 'zod'
import { environmentName } from '../fields.ts'
import { operation } from '../operation.ts'

export default operation({
  name: 'prepare',
  command: ['prepare'],
  sdk: 'prepareEnvironment',
  tool: null,
  summary: 'Download and build what workspaces of an environment start from.',
  description:
    'Builds the root file system of an environment, and for machines its image and the kernel they boot, from packages of ' +
    "the archives that this machine's apt uses; nothing is installed on this machine. Creating a workspace does the same " +
    'when it has to, so this is for doing it beforehand. What is there already is not built again.',
  input: z.object({ environment: environmentName.default('debian:12-base') }).strict(),
  output: z.object({
    environment: z.string(),
    state: z.enum(['ready']),
    built: z.boolean().describe('Something was built by this call.'),
    duration_ms: z.number(),
    root: z.string().describe('Sealed directory, for containers.'),
    image: z
      .object({ path: z.string().describe('Read-only image (erofs), for machines.'), bytes: z.int() })
      .nullable()
      .describe('null: the environment is for containers only.'),
    guest: z
      .object({
        kernel_version: z.string(),
        kernel: z.string().describe('Path of the kernel that machines boot.'),
        initramfs: z.string(),
        fingerprint: z.string().describe('Names exactly these two files.'),
      })
      .nullable(),
  }),
  effects: { readOnly: false, destructive: false, idempotent: true },
  errors: [
    'environment_not_found',
    'tool_missing',
    'package_missing',
    'build_failed',
    'not_supported',
    'subids_missing',
    'userns_denied',
    'native_missing',
    'disk_full',
    'cancelled',
  ],
  cli: { positionals: ['environment'], examples: ['prepare', 'prepare debian:12-base --json'] },
})
