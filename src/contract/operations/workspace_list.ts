import { z } from 'zod'
import { instant, labels, workspace } from '../fields.ts'
import { operation } from '../operation.ts'
import { deletionReport } from './workspace_delete.ts'

const expired = z.object({
  workspace_id: z.string(),
  name: z.string().nullable(),
  labels: z.record(z.string(), z.string()),
  environment: z.string(),
  created_at: instant,
  expired_at: instant.describe('When its deletion began.'),
  changes: deletionReport.changes.nullable().describe('null: not known yet.'),
  never_exported: deletionReport.never_exported.nullable(),
})
export type Expired = z.infer<typeof expired>

export default operation({
  name: 'workspace_list',
  command: ['workspace', 'list'],
  sdk: 'listWorkspaces',
  tool: 'workspace_list',
  summary: 'List workspaces.',
  description:
    'Reads recorded state and never asks a sandbox, so one that hangs delays nothing. With expired also the workspaces whose ' +
    'ttl_seconds ran out, the newest first, 1000 at most, with what of them was never exported.',
  input: z
    .object({
      labels: labels.default({}).describe('Only those that have all these labels.'),
      expired: z
        .boolean()
        .default(false)
        .describe('Also those that were deleted because their time ran out.'),
    })
    .strict(),
  output: z.object({
    workspaces: z.array(workspace),
    expired: z.array(expired).optional().describe('Where it was asked for.'),
  }),
  effects: { readOnly: true, destructive: false, idempotent: true },
  errors: [],
  cli: {
    flags: { labels: 'label' },
    examples: ['workspace list', 'workspace list --label team=core --json', 'workspace list --expired'],
  },
})
