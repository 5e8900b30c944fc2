import { z } from 'zod'
import { workspace, workspaceRef } from '../fields.ts'
import { operation } from '../operation.ts'

export default operation({
  name: 'workspace_status',
  command: ['workspace', 'status'],
  sdk: 'statusWorkspace',
  tool: 'workspace_status',
  summary: 'Show one workspace.',
  description:
    'Everything recorded about it: state, seed, limits and whether they are enforced, jobs and times.',
  input: z.object({ workspace_id: workspaceRef }).strict(),
  output: workspace,
  effects: { readOnly: true, destructive: false, idempotent: true },
  errors: ['workspace_not_found'],
  cli: { positionals: ['workspace_id'], examples: ['workspace status fix-login'] },
})
