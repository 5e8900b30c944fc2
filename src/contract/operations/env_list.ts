import { z } from 'zod'
import { environmentState } from '../fields.ts'
import { operation } from '../operation.ts'

export const environment = z.object({
  name: z.string(),
  description: z.string(),
  backends: z.array(z.string()),
  state: environmentState,
  reason: z.string().nullable().describe('Why it is stale, damaged or unavailable.'),
})

export default operation({
  name: 'env_list',
  command: ['env', 'list'],
  sdk: 'listEnvironments',
  tool: 'vm_list_environments',
  summary: 'List the environments a workspace can be made from.',
  description: 'An environment is the root file system of a workspace. Reads local state only.',
  input: z.object({}).strict(),
  output: z.object({ environments: z.array(environment) }),
  effects: { readOnly: true, destructive: false, idempotent: true },
  errors: [],
  cli: { examples: ['env list', 'env list --json'] },
})
