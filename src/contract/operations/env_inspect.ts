import { z } from 'zod'
import { environmentName } from '../fields.ts'
import { operation } from '../operation.ts'
import { environment } from './env_list.ts'

export default operation({
  name: 'env_inspect',
  command: ['env', 'inspect'],
  sdk: 'inspectEnvironment',
  tool: 'vm_inspect_environment',
  summary: 'Show what one environment holds.',
  description:
    'Says which trees of this machine are visible inside, what is made up, and where the built parts lie.',
  input: z.object({ environment: environmentName }).strict(),
  output: environment.extend({
    read_only: z.array(z.string()).describe('Trees of this machine that are bound read-only.'),
    copied: z.array(z.string()).describe('Files of this machine that are copied in.'),
    made: z.array(z.string()).describe('Files that are made up.'),
    masked: z.array(z.string()).describe('Paths below those trees that are hidden.'),
    cache_path: z.string().nullable(),
  }),
  effects: { readOnly: true, destructive: false, idempotent: true },
  errors: ['environment_not_found'],
  cli: { positionals: ['environment'], examples: ['env inspect host'] },
})
