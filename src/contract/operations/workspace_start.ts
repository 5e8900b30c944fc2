import { z } from 'zod'
import { workspace, workspaceRef } from '../fields.ts'
import { operation } from '../operation.ts'
import { SANDBOX_ERRORS } from './workspace_create.ts'

export default operation({
  name: 'workspace_start',
  command: ['workspace', 'start'],
  sdk: 'startWorkspace',
  tool: 'workspace_start',
  summary: 'Start a stopped or failed workspace again.',
  description:
    'A new sandbox over the same files, with the same host name, limits and labels. No command is started again. Costs a ' +
    'start, whatever the size of the files. One that runs already goes on running.',
  input: z.object({ workspace_id: workspaceRef }).strict(),
  output: workspace,
  effects: { readOnly: false, destructive: false, idempotent: true },
  errors: ['workspace_not_found', 'wrong_state', ...SANDBOX_ERRORS],
  cli: { positionals: ['workspace_id'], examples: ['workspace start fix-login'] },
})
