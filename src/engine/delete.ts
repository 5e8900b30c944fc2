/** A workspace is thrown away, after saying what of it was never taken out. */
import type { DeletionReport } from '../contract/operations/workspace_delete.ts'
import type { OutputOf } from '../contract/table.ts'
import type { WorkspaceRow } from '../store/workspaces.ts'
import { removeFiles, stop } from './destroy.ts'
import type { Engine } from './engine.ts'
import { changeReport } from './unexported.ts'
import { requireWorkspace } from './workspaces.ts'

export async function deleteWorkspace(engine: Engine, ref: string): Promise<OutputOf<'workspace_delete'>> {
  const { id } = requireWorkspace(engine, ref)
  return engine.queues.run(id, async () => {
    const row = requireWorkspace(engine, id)
    engine.record('delete.intent', () => engine.workspaces.update(id, { state: 'deleting' }))
    const report = await endAndReport(engine, row)
    if (isExpiring(engine, row)) engine.record('expire.reported', () => engine.expired.report(id, report))
    await removeAll(engine, row)
    return { workspace_id: id, name: row.name, deleted: true, ...report }
  })
}

/**
 * Its time has run out. Nobody waits for the answer, so what it says is recorded, and stays. Called in the workspace's turn.
 */
export async function expire(engine: Engine, row: WorkspaceRow): Promise<void> {
  engine.record('expire.intent', () => {
    engine.workspaces.update(row.id, { state: 'deleting' })
    engine.expired.begin(row, Date.now())
  })
  await finishExpiry(engine, row)
}

async function finishExpiry(engine: Engine, row: WorkspaceRow): Promise<void> {
  const report = await endAndReport(engine, row)
  engine.record('expire.reported', () => engine.expired.report(row.id, report))
  const { changes, never_exported } = report
  engine.log('workspace.expired', { workspace: row.id, name: row.name, changes, never_exported })
  await removeAll(engine, row)
}

/** From a recorded intent to nothing left; also what a new engine does with a deletion it finds begun. */
export async function finishDelete(engine: Engine, row: WorkspaceRow): Promise<void> {
  // Nothing was removed before the report was recorded.
  if (isExpiring(engine, row)) return finishExpiry(engine, row)
  await stopSandbox(engine, row)
  await removeAll(engine, row)
}

const isExpiring = (engine: Engine, { id }: WorkspaceRow) => engine.expired.find(id)?.report === null

async function endAndReport(engine: Engine, row: WorkspaceRow): Promise<DeletionReport> {
  // A guest that is still there answers at once; without one a machine has to be started to look.
  const early = engine.backends.layersOf(row).asksGuest && row.state === 'running'
  const before = early ? await changeReport(engine, row) : null
  await stopSandbox(engine, row)
  return before ?? (await changeReport(engine, row))
}

async function stopSandbox(engine: Engine, row: WorkspaceRow): Promise<void> {
  await stop(engine, row)
  engine.record('delete.stopped', () => {})
}

async function removeAll(engine: Engine, row: WorkspaceRow): Promise<void> {
  await removeFiles(engine, row)
  engine.record('delete.removed', () => {})
  engine.record('delete.outcome', () => engine.workspaces.remove(row.id))
  engine.log('workspace.deleted', { workspace: row.id })
}
