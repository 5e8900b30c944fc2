/** Recorded rows as the contract shows them. */
import type { ExecResult, Job, Workspace } from '../contract/fields.ts'
import type { DeletionReport } from '../contract/operations/workspace_delete.ts'
import type { Expired } from '../contract/operations/workspace_list.ts'
import type { ExpiredRow } from '../store/expired.ts'
import type { JobStatus } from '../channel/messages.ts'
import type { JobRow } from '../store/jobs.ts'
import type { WorkspaceRow } from '../store/workspaces.ts'
import { type Engine, iso } from './engine.ts'
import { idleLeftMs } from './lifetimes.ts'
import { wholeText } from './text.ts'

export function workspaceView(engine: Engine, row: WorkspaceRow): Workspace {
  const { commands, running } = engine.workspaces.jobCounts(row.id)
  const backend = engine.backends.of(row)
  return {
    workspace_id: row.id,
    name: row.name,
    labels: row.labels,
    state: row.state,
    state_reason: row.reason,
    environment: row.environment,
    backend: backend.name,
    isolation: backend.isolation,
    execution_mode: backend.executionMode,
    limits: row.limits,
    network_policy: 'off',
    workspace_seed: row.seed,
    created_at: iso(row.created_at),
    last_activity_at: iso(row.activity_at),
    expires_at: row.expires_at === null ? null : iso(row.expires_at),
    idle_seconds: row.idle_seconds,
    idle_stops_at: idleStop(engine, row),
    command_count: commands,
    running_job_count: running,
  }
}

function idleStop(engine: Engine, row: WorkspaceRow): string | null {
  const left = idleLeftMs(engine, row)
  return left === null ? null : iso(Date.now() + Math.max(0, left))
}

export function expiredView({ report, created_at, expired_at, ...row }: ExpiredRow<DeletionReport>): Expired {
  const { changes = null, never_exported = null } = report ?? {}
  return { ...row, created_at: iso(created_at), expired_at: iso(expired_at), changes, never_exported }
}

/** A job as recorded, or as its guest says it is at this moment. */
export function jobView(engine: Engine, row: JobRow<JobStatus>, live?: JobStatus): Job {
  const status = live ?? row.status
  return {
    workspace_id: row.workspace_id,
    job_id: row.id,
    sequence: row.sequence,
    command: row.command,
    cwd: row.cwd,
    state: status?.state ?? row.state,
    exit_code: status?.exit_code ?? null,
    signal: status?.signal ?? null,
    timed_out: status?.timed_out ?? false,
    started_at: iso(row.started_at),
    duration_ms: status?.duration_ms ?? 0,
    cpu_ms: status?.cpu_ms ?? 0,
    peak_memory_bytes: status?.peak_memory_bytes ?? 0,
    survivors: status?.survivors ?? 0,
    execution_mode: engine.backends.of(engine.workspaces.placementOf(row.workspace_id)).executionMode,
  }
}

export interface OutputText {
  data: Buffer
  from: number
  end: number
  eof: boolean
}

/** A job with its first output; the cursors say where a reader goes on. */
export function execView(job: Job, stdout: OutputText, stderr: OutputText): ExecResult {
  const out = textPart(stdout)
  const err = textPart(stderr)
  return {
    ...job,
    stdout: out.text,
    stderr: err.text,
    stdout_stream: out.position,
    stderr_stream: err.position,
  }
}

function textPart({ data, from, end, eof }: OutputText) {
  const whole = from + data.length >= end && eof ? data : wholeText(data)
  const cursor = from + whole.length
  return { text: whole.toString('utf8'), position: { cursor, dropped: from, eof: eof && cursor >= end } }
}
