import { z } from 'zod'
import { hostPath, insidePath, workspaceRef } from '../fields.ts'
import { operation } from '../operation.ts'

export default operation({
  name: 'workspace_export',
  command: ['workspace', 'export'],
  sdk: 'exportWorkspace',
  tool: 'workspace_export',
  summary: 'Copy a file or folder out of a workspace to this machine.',
  description:
    'Atomic: the target appears whole or not at all. Links are never followed out of the workspace, set-id bits are dropped, ' +
    'sockets and devices are skipped and listed. Files belong to the user of the engine.',
  input: z
    .object({
      workspace_id: workspaceRef,
      path: insidePath.describe('Path inside, absolute below /workspace or relative to it.'),
      output_path: hostPath.describe('Target on this machine; its parent must exist.'),
      overwrite: z
        .boolean()
        .default(false)
        .describe(
          'Replace what is at the target: a file, a folder with all that is in it, or a link itself.',
        ),
    })
    .strict(),
  output: z.object({
    workspace_id: z.string(),
    path: z.string(),
    output_path: z.string(),
    kind: z.enum(['file', 'directory', 'symlink']),
    files: z.int(),
    bytes: z.int(),
    skipped: z.array(z.object({ path: z.string(), reason: z.string() })),
  }),
  effects: { readOnly: false, destructive: true, idempotent: true },
  errors: [
    'workspace_not_found',
    'wrong_state',
    'path_outside_workspace',
    'path_not_found',
    'output_parent_missing',
    'output_exists',
    'output_unsuitable',
    'export_changed',
    'link_leaves',
    'disk_full',
  ],
  cli: {
    positionals: ['workspace_id', 'path'],
    flags: { output_path: 'output' },
    examples: ['workspace export fix-login dist/app.js --output ./app.js'],
  },
})
