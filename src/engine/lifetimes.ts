/**
 * Workspaces that have lived long enough: an idle one is stopped, one whose time has run out is deleted, each in its turn,
 * so that an operation that has begun is done before. What was due while there was no engine is done by the next.
 */
import type { WorkspaceRow } from '../store/workspaces.ts'
import { sinceMs } from './clock.ts'
import { expire, finishDelete } from './delete.ts'
import type { Engine, Lifetimes } from './engine.ts'
import { GRACE_MS, stopWorkspace } from './stop.ts'
import { settle } from './turn.ts'
import { noticeEnd } from './workspaces.ts'

/** Longest pause between two looks: the wall clock may be set, and a command may have ended meanwhile. */
const LOOK_MS = 5000
/** After an attempt that failed, e.g. on a full disk. */
const RETRY_MS = 30_000

/** Whether something goes on in it, however quiet: whatever counts as that belongs here. */
const hasLife = (engine: Engine, { id }: WorkspaceRow): boolean => engine.jobs.running(id).length > 0

/** Until it is stopped for its idleness; below 0 it is due. Null: it never is, or not while something goes on in it. */
export function idleLeftMs(engine: Engine, row: WorkspaceRow): number | null {
  if (row.state !== 'running' || row.idle_seconds === null || hasLife(engine, row)) return null
  return row.idle_seconds * 1000 - sinceMs(row.life)
}

/** The engine is asked for late: it holds this. */
export function lifetimes(engine: () => Engine): Lifetimes {
  let timer: NodeJS.Timeout | undefined
  /** Those being attended to, and until when those are left alone that could not be. */
  const attended = new Map<string, number>()

  function look(): void {
    clearTimeout(timer)
    let next = LOOK_MS
    const rows = engine().workspaces.mortal()
    if (rows.length === 0) return
    for (const row of rows) {
      const wait = Math.max(leftMs(engine(), row), (attended.get(row.id) ?? 0) - performance.now())
      if (wait <= 0) attend(row.id)
      else next = Math.min(next, wait)
    }
    timer = setTimeout(look, next).unref()
  }

  function attend(id: string): void {
    attended.set(id, Number.POSITIVE_INFINITY)
    engine()
      .queues.run(id, () => endIfDue(engine(), id))
      .then(
        () => attended.delete(id),
        (error) => {
          attended.set(id, performance.now() + RETRY_MS)
          engine().log('lifetime.failed', { workspace: id, error: String(error) })
        },
      )
  }

  return {
    look,
    pending: () =>
      engine()
        .workspaces.mortal()
        .some(({ expires_at }) => expires_at !== null),
    stop: () => clearTimeout(timer),
  }
}

function leftMs(engine: Engine, row: WorkspaceRow): number {
  const time = row.expires_at === null ? Number.POSITIVE_INFINITY : row.expires_at - Date.now()
  return Math.min(time, idleLeftMs(engine, row) ?? Number.POSITIVE_INFINITY)
}

/** In its turn, much may have changed: a command runs, its time was prolonged, it is gone. */
async function endIfDue(engine: Engine, id: string): Promise<void> {
  const found = engine.workspaces.find(id)
  if (found === undefined) return
  await settle(engine, noticeEnd(engine, found))
  const row = engine.workspaces.find(id)
  if (row === undefined || leftMs(engine, row) > 0) return
  if (row.state === 'deleting') await finishDelete(engine, row)
  else if (row.expires_at !== null && row.expires_at <= Date.now()) await expire(engine, row)
  else {
    const reason = `idle for ${row.idle_seconds} s`
    await stopWorkspace(engine, row, { reason, grace_ms: GRACE_MS })
  }
}
