import { z } from 'zod'
import { labelKeys, labels, workspace, workspaceName, workspaceRef } from '../fields.ts'
import { operation } from '../operation.ts'

export default operation({
  name: 'workspace_update',
  command: ['workspace', 'update'],
  sdk: 'updateWorkspace',
  tool: 'workspace_update',
  summary: "Change a workspace's name and labels.",
  description:
    'Given labels are added or replaced; clear_labels are removed first. The sandbox is not touched.',
  input: z
    .object({
      workspace_id: workspaceRef,
      name: workspaceName.optional(),
      labels: labels.default({}),
      clear_labels: labelKeys.default([]).describe('Label keys to remove.'),
    })
    .strict(),
  output: workspace,
  effects: { readOnly: false, destructive: false, idempotent: true },
  errors: ['workspace_not_found', 'name_taken', 'wrong_state'],
  cli: {
    positionals: ['workspace_id'],
    flags: { labels: 'label', clear_labels: 'clear-label' },
    examples: ['workspace update fix-login --name done --label state=ok --clear-label team'],
  },
})
