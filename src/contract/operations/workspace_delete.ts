import { z } from 'zod'
import { workspaceRef } from '../fields.ts'
import { operation } from '../operation.ts'

const changeEntry = z.object({
  path: z.string(),
  change: z.enum(['added', 'modified', 'deleted']),
  type: z.enum(['file', 'directory', 'symlink', 'other']),
  size: z.int(),
})

/** What a deletion says of the files that are gone with it. */
export const deletionReport = {
  changes: z.object({ added: z.int(), modified: z.int(), deleted: z.int() }),
  never_exported: z.object({
    count: z.int(),
    entries: z.array(changeEntry).describe('100 at most.'),
    truncated: z.boolean(),
  }),
}

export type DeletionReport = z.infer<z.ZodObject<typeof deletionReport>>

export default operation({
  name: 'workspace_delete',
  command: ['workspace', 'delete'],
  sdk: 'deleteWorkspace',
  tool: 'workspace_delete',
  summary: 'Delete a workspace and everything in it.',
  description:
    'Ends its processes and removes its files. Says what had changed under /workspace since the seed and which of it was never exported.',
  input: z.object({ workspace_id: workspaceRef }).strict(),
  output: z.object({
    workspace_id: z.string(),
    name: z.string().nullable(),
    deleted: z.boolean(),
    ...deletionReport,
  }),
  effects: { readOnly: false, destructive: true, idempotent: false },
  errors: ['workspace_not_found', 'io_error'],
  cli: { positionals: ['workspace_id'], examples: ['workspace delete fix-login'] },
})
