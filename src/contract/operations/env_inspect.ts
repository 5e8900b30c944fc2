import { z } from 'zod'
import { environmentName, environmentUser } from '../fields.ts'
import { operation } from '../operation.ts'
import { environment } from './env_list.ts'

export default operation({
  name: 'env_inspect',
  command: ['env', 'inspect'],
  sdk: 'inspectEnvironment',
  tool: 'vm_inspect_environment',
  summary: 'Show what one environment holds.',
  description:
    'Says what is built of it, from which packages, how large it is, when it was made and which workspaces need it; which ' +
    'trees of this machine are visible inside, and what is made up. What is in the cache is compared with what was built: ' +
    'every name, size, owner and time, and with verify every byte.',
  input: z
    .object({
      environment: environmentName,
      verify: z.boolean().default(false).describe('Read all of it and compare checksums; takes seconds.'),
    })
    .strict(),
  output: environment.extend({
    read_only: z.array(z.string()).describe('Trees of this machine that are bound read-only.'),
    copied: z.array(z.string()).describe('Files of this machine that are copied in.'),
    made: z.array(z.string()).describe('Files that are made up.'),
    masked: z.array(z.string()).describe('Paths below those trees that are hidden.'),
    cache_path: z.string().nullable().describe('Sealed directory, for containers.'),
    made_at: z.string().nullable().describe('UTC, ISO 8601.'),
    checksum: z
      .string()
      .nullable()
      .describe('"sha256:" and the digest of the directory as an OCI layer tar: its diff id.'),
    entries: z.int().nullable().describe('Files, directories and links in it.'),
    bytes: z.int().nullable().describe('Bytes of the disk that the directory takes.'),
    image: z
      .object({ path: z.string(), bytes: z.int(), sha256: z.string() })
      .nullable()
      .describe('Read-only image (erofs) of it, for machines; made when one needs it.'),
    snapshot: z
      .array(z.object({ codename: z.string(), date: z.string(), sha256: z.string() }))
      .describe('State of the archives it was built from: their signed index files.'),
    packages: z.array(z.object({ name: z.string(), version: z.string(), architecture: z.string() })),
    used_by: z
      .array(environmentUser)
      .describe('Workspaces that need it, of every home that shares the cache.'),
    verified: z.boolean().describe('All bytes were read and are what was built.'),
  }),
  effects: { readOnly: true, destructive: false, idempotent: true },
  errors: ['environment_not_found', 'cancelled'],
  cli: {
    positionals: ['environment'],
    examples: ['env inspect debian:12', 'env inspect debian:12 --verify', 'env inspect host --json'],
  },
})
