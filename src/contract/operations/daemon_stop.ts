import { z } from 'zod'
import { operation } from '../operation.ts'

export default operation({
  name: 'daemon_stop',
  command: ['daemon', 'stop'],
  sdk: 'stopDaemon',
  tool: null,
  summary: 'Stop the engine of this PYRO_HOME.',
  description:
    'Workspaces go on running and the next engine adopts them. With delete_workspaces all of them are deleted first. Where no workspace runs, the holder ends too.',
  input: z
    .object({ delete_workspaces: z.boolean().default(false).describe('Delete every workspace first.') })
    .strict(),
  output: z.object({
    stopped: z.boolean(),
    deleted_workspaces: z.array(z.string()),
    running_workspaces: z.int(),
  }),
  effects: { readOnly: false, destructive: true, idempotent: true },
  localOnly: true,
  errors: ['local_only'],
  cli: { examples: ['daemon stop'] },
})
