/** The nouns of what a workspace begins with. */
import { z } from 'zod'
import { isCloneable, isRef } from './address.ts'
import { hostPath } from './fields.ts'

export const seedPath = hostPath.describe(
  'Directory, or archive (.tar, .tar.gz, .tgz, .tar.zst), copied to /workspace. Default: an empty workspace.',
)

/** What a workspace begins with. The engine refuses combinations that mean nothing. */
export const seedFields = {
  seed_path: seedPath.optional(),
  seed_all: z.boolean().optional().describe('Of a git checkout take the ignored files too.'),
  repo: z
    .string()
    .min(1)
    .max(4096)
    .refine(isCloneable, 'must be an absolute path, or an address of http, https, ssh, git or file')
    .optional()
    .describe(
      "Repository cloned to /workspace, by this machine's git with its user's credentials, which stay outside.",
    ),
  ref: z
    .string()
    .min(1)
    .max(1024)
    .refine(isRef, 'must be the name of a branch or tag, or a commit')
    .optional()
    .describe("Branch, tag or commit of repo. Default: the repository's own branch."),
}
