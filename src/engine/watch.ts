/**
 * Knowing when a job ends, also when nobody asks: one pending question to the guest per running job. What the guest
 * answers is recorded; a guest that is gone ends the workspace's running state.
 */
import { GuestRefusal } from '../channel/answers.ts'
import type { JobStatus } from '../channel/messages.ts'
import type { JobRow } from '../store/jobs.ts'
import { signOfLife } from './clock.ts'
import type { Engine } from './engine.ts'
import { noticeEnd } from './workspaces.ts'

const ASK_MS = 30_000
const RETRY_MS = 1000
const MAX_RETRY_MS = 30_000
/** Ended commands whose output a workspace keeps; older ones stay in the history without it. */
export const KEPT_OUTPUTS = 1000
/** Of those that are due, how many are tried at one job's end. */
const MAX_FORGOTTEN = 8

const watched = new WeakMap<Engine, Map<string, Promise<void>>>()

/** Records a job's end. Safe to call again; a failure to write is retried by the watcher. */
export function recordEnd(engine: Engine, row: JobRow<JobStatus>, status: JobStatus): void {
  if (engine.jobs.find(row.workspace_id, row.id)?.state !== 'running') return
  const { inline: _inline, ...kept } = status
  engine.record('exec.outcome', () => {
    engine.jobs.end(row.workspace_id, row.id, 'exited', kept)
    engine.workspaces.touch(row.workspace_id, signOfLife())
  })
  forgetOldest(engine, row)
}

/** Jobs that have to be forgotten, by workspace: one with survivors is refused, and tried again at the next end. */
const overdue = new WeakMap<Engine, Map<string, Set<string>>>()

/** The guest remembers a bounded number of jobs; one that is too old makes room for each new one. */
function forgetOldest(engine: Engine, { workspace_id, sequence }: JobRow<JobStatus>): void {
  if (sequence <= KEPT_OUTPUTS) return
  const all = overdue.get(engine) ?? new Map<string, Set<string>>()
  overdue.set(engine, all)
  const due = all.get(workspace_id) ?? new Set<string>()
  all.set(workspace_id, due.add(`job-${sequence - KEPT_OUTPUTS}`))
  for (const job of [...due].slice(0, MAX_FORGOTTEN)) {
    const forgotten = engine.guests.of(workspace_id).forget(job)
    forgotten.then(
      () => due.delete(job),
      (error) => {
        if (error instanceof GuestRefusal && error.code === 'job_not_found') due.delete(job)
      },
    )
  }
}

/** Resolves when the job's end is recorded, or its workspace is gone. */
export function watchJob(engine: Engine, row: JobRow<JobStatus>): Promise<void> {
  const all = watched.get(engine) ?? new Map<string, Promise<void>>()
  watched.set(engine, all)
  const key = `${row.workspace_id}/${row.id}`
  const known = all.get(key)
  if (known !== undefined) return known
  const watching = watch(engine, row).finally(() => all.delete(key))
  all.set(key, watching)
  return watching
}

async function watch(engine: Engine, row: JobRow<JobStatus>): Promise<void> {
  let pause = RETRY_MS
  while (engine.jobs.find(row.workspace_id, row.id)?.state === 'running') {
    try {
      const status = await engine.guests.of(row.workspace_id).wait(row.id, ASK_MS, null, false)
      pause = RETRY_MS
      if (status.state === 'exited') return recordEnd(engine, row, status)
    } catch (error) {
      const workspace = engine.workspaces.find(row.workspace_id)
      if (workspace === undefined || noticeEnd(engine, workspace).state !== 'running') return
      if (error instanceof GuestRefusal && error.code === 'job_not_found') return recordAbsence(engine, row)
      engine.log('job.watch_retry', { workspace: row.workspace_id, job: row.id, error: String(error) })
      await new Promise((resolve) => setTimeout(resolve, pause).unref())
      pause = Math.min(pause * 2, MAX_RETRY_MS)
    }
  }
}

/** Ended jobs are recorded before the guest may forget them: one that it does not know never began. */
function recordAbsence(engine: Engine, row: JobRow<JobStatus>): void {
  engine.record('exec.undone', () => engine.jobs.remove(row.workspace_id, row.id))
}
