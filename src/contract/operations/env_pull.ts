import { z } from 'zod'
import { environmentName, placement } from '../fields.ts'
import { operation } from '../operation.ts'
import { BUILD_ERRORS, guestFiles, imageFile } from './prepare.ts'

export default operation({
  name: 'env_pull',
  command: ['env', 'pull'],
  sdk: 'pullEnvironment',
  tool: 'vm_pull_environment',
  summary: 'Make an environment ready, and make it anew where it is stale.',
  description:
    "Builds the root file system from packages of the archives that this machine's apt uses; nothing is installed on this " +
    'machine. Where it runs as a machine, also its image and the kernel that machines boot. Creating a workspace builds what ' +
    'is missing, and never renews what is there. Whole or not at all; two at once make one. Workspaces keep what they were ' +
    'made from.',
  input: z
    .object({
      environment: environmentName,
      backend: placement.backend.describe(
        'What it is made ready for. auto: what a new workspace would be run by. A machine needs an image and a kernel besides.',
      ),
      force: z
        .boolean()
        .default(false)
        .describe('Build it anew even where nothing is known to have changed.'),
    })
    .strict(),
  output: z.object({
    environment: z.string(),
    backend: z.string().describe('What it was made ready for.'),
    action: z
      .enum(['made', 'renewed', 'kept'])
      .describe('What became of the root file system. kept: it is what would be built now.'),
    reason: z.string().nullable().describe('Why it was built anew, or tried.'),
    duration_ms: z.number(),
    root: z.string().describe('Sealed directory, for containers.'),
    checksum: z.string().nullable().describe('Diff id of the directory.'),
    bytes: z.int().nullable().describe('Bytes of the disk that the directory takes.'),
    packages: z.int().nullable(),
    image: imageFile,
    guest: guestFiles,
  }),
  effects: { readOnly: false, destructive: false, idempotent: true },
  errors: ['backend_unavailable', ...BUILD_ERRORS],
  cli: {
    positionals: ['environment'],
    examples: ['env pull debian:12', 'env pull debian:12 --backend qemu', 'env pull debian:12 --force'],
  },
})
