/** A workspace is thrown away, after saying what of it was never taken out. */
import type { OutputOf } from '../contract/table.ts'
import type { Change } from '../hand/protocol.ts'
import { layerPaths, workspaceChanges } from '../layer/stack.ts'
import type { ExportRow } from '../store/exports.ts'
import type { WorkspaceRow } from '../store/workspaces.ts'
import { destroy } from './destroy.ts'
import type { Engine } from './engine.ts'
import { requireWorkspace } from './workspaces.ts'

const LISTED = 100
const EXAMINED = 100_000
type Report = Pick<OutputOf<'workspace_delete'>, 'changes' | 'never_exported'>

export async function deleteWorkspace(engine: Engine, ref: string): Promise<OutputOf<'workspace_delete'>> {
  const { id } = requireWorkspace(engine, ref)
  return engine.queues.run(id, async () => {
    const row = requireWorkspace(engine, id)
    engine.record('delete.intent', () => engine.workspaces.update(id, { state: 'deleting' }))
    const report = await changeReport(engine, row)
    await finishDelete(engine, row)
    return { workspace_id: id, name: row.name, deleted: true, ...report }
  })
}

/** From a recorded intent to nothing left; also what a new engine does with a deletion it finds begun. */
export async function finishDelete(engine: Engine, row: WorkspaceRow): Promise<void> {
  await destroy(engine, row, () => engine.record('delete.stopped', () => {}))
  engine.record('delete.removed', () => {})
  engine.record('delete.outcome', () => engine.workspaces.remove(row.id))
  engine.log('workspace.deleted', { workspace: row.id })
}

async function changeReport(engine: Engine, row: WorkspaceRow): Promise<Report> {
  const none: Report = {
    changes: { added: 0, modified: 0, deleted: 0 },
    never_exported: { count: 0, entries: [], truncated: false },
  }
  try {
    const seeded = row.seed.origin_kind !== 'empty'
    const found = await workspaceChanges(engine.hand.call, layerPaths(engine.home, row.id), seeded, EXAMINED)
    const left = found.entries.filter((entry) => !wasExported(entry, engine.exports.finished(row.id)))
    return {
      changes: { added: found.added, modified: found.modified, deleted: found.deleted },
      never_exported: {
        count: left.length,
        entries: left.slice(0, LISTED).map(({ path, change, type, size }) => ({ path, change, type, size })),
        truncated: found.truncated || left.length > LISTED,
      },
    }
  } catch (error) {
    // A report is not worth a workspace that cannot be deleted, e.g. one that an earlier deletion half removed.
    engine.log('delete.report_failed', { workspace: row.id, error: String(error) })
    return none
  }
}

/** Whether an export took this entry, or the folder it lies in, after its last change. */
export function wasExported(entry: Change, exports: ExportRow[]): boolean {
  if (entry.change === 'deleted') return exports.some(({ path }) => path === '.')
  return exports.some(
    ({ path, started_at }) =>
      started_at > entry.changed_at_ms &&
      (path === '.' || entry.path === path || entry.path.startsWith(`${path}/`)),
  )
}
