import { z } from 'zod'
import { labelKeys, labels, lifetimes, workspace, workspaceName, workspaceRef } from '../fields.ts'
import { operation } from '../operation.ts'

export default operation({
  name: 'workspace_update',
  command: ['workspace', 'update'],
  sdk: 'updateWorkspace',
  tool: 'workspace_update',
  summary: "Change a workspace's name, labels and lifetimes.",
  description:
    'Given labels are added or replaced; clear_labels are removed first. ttl_seconds counts from now. The sandbox is not ' +
    'touched, and keeps its host name.',
  input: z
    .object({
      workspace_id: workspaceRef,
      name: workspaceName.optional(),
      labels: labels.default({}),
      clear_labels: labelKeys.default([]).describe('Label keys to remove.'),
      ...lifetimes,
      clear_ttl: z.boolean().default(false).describe('It is never deleted by itself.'),
      clear_idle: z.boolean().default(false).describe('It is never stopped by itself.'),
    })
    .strict()
    .refine((ask) => !(ask.clear_ttl && ask.ttl_seconds), 'ttl_seconds and clear_ttl exclude each other')
    .refine((ask) => !(ask.clear_idle && ask.idle_seconds), 'idle_seconds and clear_idle exclude each other'),
  output: workspace,
  effects: { readOnly: false, destructive: false, idempotent: true },
  errors: ['workspace_not_found', 'name_taken', 'wrong_state'],
  cli: {
    positionals: ['workspace_id'],
    flags: { labels: 'label', clear_labels: 'clear-label' },
    examples: [
      'workspace update fix-login --name done --label state=ok --clear-label team',
      'workspace update fix-login --ttl-seconds 3600 --clear-idle',
    ],
  },
})
