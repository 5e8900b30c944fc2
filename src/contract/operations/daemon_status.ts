import { z } from 'zod'
import { listener } from '../fields.ts'
import { operation } from '../operation.ts'

export default operation({
  name: 'daemon_status',
  command: ['daemon', 'status'],
  sdk: 'statusDaemon',
  tool: null,
  summary: 'Show the engine of this PYRO_HOME.',
  description: 'The command line answers this without starting an engine that is not there.',
  input: z.object({}).strict(),
  output: z.object({
    running: z.boolean(),
    pid: z.int().nullable(),
    version: z.string(),
    home: z.string(),
    socket: z.string(),
    started_at: z.string().nullable(),
    holder_pid: z.int().nullable(),
    workspaces: z.int(),
    running_workspaces: z.int(),
    memory_bytes: z.int(),
    http: listener,
  }),
  effects: { readOnly: true, destructive: false, idempotent: true },
  errors: [],
  cli: { examples: ['daemon status'] },
})
