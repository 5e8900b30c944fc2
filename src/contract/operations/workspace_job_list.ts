import { z } from 'zod'
import { job, workspaceRef } from '../fields.ts'
import { operation } from '../operation.ts'

export default operation({
  name: 'workspace_job_list',
  command: ['workspace', 'job', 'list'],
  sdk: 'listJobs',
  tool: 'workspace_job_list',
  summary: 'List the commands of a workspace, the newest first.',
  description: 'Reads recorded state; asks no sandbox.',
  input: z
    .object({
      workspace_id: workspaceRef,
      running: z.boolean().default(false).describe('Only those that still run.'),
      limit: z.int().min(1).max(1000).default(100),
    })
    .strict(),
  output: z.object({ workspace_id: z.string(), jobs: z.array(job) }),
  effects: { readOnly: true, destructive: false, idempotent: true },
  errors: ['workspace_not_found'],
  cli: { positionals: ['workspace_id'], examples: ['workspace job list fix-login --running'] },
})
