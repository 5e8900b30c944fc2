/** What runs in a workspace is ended in order; its files stay. */
import type { WorkspaceRow } from '../store/workspaces.ts'
import type { Backend } from '../backend/backend.ts'
import type { SandboxRecord } from '../store/workspaces.ts'
import { stop } from './destroy.ts'
import type { Engine } from './engine.ts'
import { requireState } from './states.ts'
import { recordEnd } from './watch.ts'
import { endJobs } from './workspaces.ts'

/** Between SIGTERM and SIGKILL where nobody says otherwise. */
export const GRACE_MS = 10_000
/** A sandbox whose agent has said goodbye ends by itself. */
const ENDING_MS = 10_000
const LOOK_MS = 10

/** Called in the workspace's turn. One whose sandbox has ended already stays what it is. */
export async function stopWorkspace(
  engine: Engine,
  row: WorkspaceRow,
  { reason, grace_ms }: { reason: string; grace_ms: number },
): Promise<WorkspaceRow> {
  if (row.state === 'stopped' || row.state === 'failed') return row
  requireState(row, 'running')
  // From here on no command begins, and those that have begun are recorded.
  engine.record('stop.intent', () => engine.workspaces.update(row.id, { state: 'stopping', reason }))
  return finishStop(engine, { ...row, state: 'stopping', reason }, grace_ms)
}

/** From a recorded intent to a stopped workspace; also what is done with one that was left half way. */
export async function finishStop(
  engine: Engine,
  row: WorkspaceRow,
  graceMs = GRACE_MS,
): Promise<WorkspaceRow> {
  await askForTheEnd(engine, row, graceMs)
  await stop(engine, row)
  const outcome = { state: 'stopped', sandbox: null } as const
  engine.record('stop.outcome', () => {
    engine.workspaces.update(row.id, outcome)
    endJobs(engine, row.id)
  })
  engine.log('workspace.stopped', { workspace: row.id, reason: row.reason })
  return { ...row, ...outcome }
}

/** Bounded. A guest that does not answer is ended all the same, and what became of its commands stays unknown. */
async function askForTheEnd(engine: Engine, row: WorkspaceRow, graceMs: number): Promise<void> {
  const backend = engine.backends.of(row)
  if (row.sandbox === null || !backend.find(row.sandbox)) return
  try {
    for (const status of await engine.guests.of(row.id).stop(graceMs)) {
      const job = engine.jobs.find(row.id, status.id)
      if (job !== undefined && status.state === 'exited') recordEnd(engine, job, status)
    }
    await ended(backend, row.sandbox)
  } catch (error) {
    engine.log('stop.not_in_order', { workspace: row.id, error: String(error) })
  }
}

async function ended(backend: Backend, sandbox: SandboxRecord): Promise<void> {
  for (const limit = performance.now() + ENDING_MS; performance.now() < limit && backend.find(sandbox); )
    await new Promise((resolve) => setTimeout(resolve, LOOK_MS))
}
