import daemon_listen from './operations/daemon_listen.ts'
import daemon_status from './operations/daemon_status.ts'
import daemon_stop from './operations/daemon_stop.ts'
import daemon_token from './operations/daemon_token.ts'
import demo from './operations/demo.ts'
import doctor from './operations/doctor.ts'
import env_inspect from './operations/env_inspect.ts'
import env_list from './operations/env_list.ts'
import env_prune from './operations/env_prune.ts'
import env_pull from './operations/env_pull.ts'
import prepare from './operations/prepare.ts'
import run from './operations/run.ts'
import workspace_create from './operations/workspace_create.ts'
import workspace_delete from './operations/workspace_delete.ts'
import workspace_exec from './operations/workspace_exec.ts'
import workspace_export from './operations/workspace_export.ts'
import workspace_job_kill from './operations/workspace_job_kill.ts'
import workspace_job_list from './operations/workspace_job_list.ts'
import workspace_job_read from './operations/workspace_job_read.ts'
import workspace_job_write from './operations/workspace_job_write.ts'
import workspace_list from './operations/workspace_list.ts'
import workspace_logs from './operations/workspace_logs.ts'
import workspace_start from './operations/workspace_start.ts'
import workspace_status from './operations/workspace_status.ts'
import workspace_stop from './operations/workspace_stop.ts'
import workspace_update from './operations/workspace_update.ts'
import type { z } from 'zod'

/** Every operation there is, in the order documents list them. To add one is to add its file and its line here. */
export const OPERATIONS = {
  env_list,
  env_pull,
  env_inspect,
  env_prune,
  prepare,
  run,
  workspace_create,
  workspace_list,
  workspace_status,
  workspace_update,
  workspace_exec,
  workspace_job_read,
  workspace_job_list,
  workspace_job_write,
  workspace_job_kill,
  workspace_logs,
  workspace_export,
  workspace_stop,
  workspace_start,
  workspace_delete,
  doctor,
  demo,
  daemon_status,
  daemon_stop,
  daemon_listen,
  daemon_token,
} as const

export type Operations = typeof OPERATIONS
export type OperationName = keyof Operations
/** What a caller gives. */
export type InputOf<N extends OperationName> = z.input<Operations[N]['input']>
/** What a handler is given: checked, with defaults filled in. */
export type CheckedInputOf<N extends OperationName> = z.output<Operations[N]['input']>
export type OutputOf<N extends OperationName> = z.output<Operations[N]['output']>

/** What long work tells its caller on the way. */
export type Progress =
  | { kind: 'step'; text: string }
  | { kind: 'count'; text: string; done: number; total?: number; unit?: 'bytes' | 'packages' }
  | { kind: 'output'; stream: 'stdout' | 'stderr'; text: string }

export interface CallContext {
  signal: AbortSignal
  progress: (progress: Progress) => void
}

/** One handler per operation: the whole of what a surface needs from an engine. */
export type Handlers = {
  [N in OperationName]: (input: CheckedInputOf<N>, context: CallContext) => Promise<OutputOf<N>>
}
