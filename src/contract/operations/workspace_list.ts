import { z } from 'zod'
import { labels, workspace } from '../fields.ts'
import { operation } from '../operation.ts'

export default operation({
  name: 'workspace_list',
  command: ['workspace', 'list'],
  sdk: 'listWorkspaces',
  tool: 'workspace_list',
  summary: 'List workspaces.',
  description: 'Reads recorded state and never asks a sandbox, so one that hangs delays nothing.',
  input: z.object({ labels: labels.default({}).describe('Only those that have all these labels.') }).strict(),
  output: z.object({ workspaces: z.array(workspace) }),
  effects: { readOnly: true, destructive: false, idempotent: true },
  errors: [],
  cli: {
    flags: { labels: 'label' },
    examples: ['workspace list', 'workspace list --label team=core --json'],
  },
})
