/** A workspace is thrown away, after saying what of it was never taken out. */
import { posix } from 'node:path'
import type { OutputOf } from '../contract/table.ts'
import type { Change } from '../hand/protocol.ts'
import type { ExportRow } from '../store/exports.ts'
import type { WorkspaceRow } from '../store/workspaces.ts'
import { removeFiles, stop } from './destroy.ts'
import type { Engine } from './engine.ts'
import { subject } from './layers.ts'
import { requireWorkspace } from './workspaces.ts'

const LISTED = 100
/** Entries looked at one by one; the counts are of all. */
const EXAMINED = 20_000
type Report = Pick<OutputOf<'workspace_delete'>, 'changes' | 'never_exported'>

export async function deleteWorkspace(engine: Engine, ref: string): Promise<OutputOf<'workspace_delete'>> {
  const { id } = requireWorkspace(engine, ref)
  return engine.queues.run(id, async () => {
    const row = requireWorkspace(engine, id)
    engine.record('delete.intent', () => engine.workspaces.update(id, { state: 'deleting' }))
    // A guest that is still there answers at once; without one a machine has to be started to look.
    const early = engine.backends.layersOf(row).asksGuest && row.state === 'running'
    const before = early ? await changeReport(engine, row) : null
    await stopSandbox(engine, row)
    const report = before ?? (await changeReport(engine, row))
    await removeAll(engine, row)
    return { workspace_id: id, name: row.name, deleted: true, ...report }
  })
}

/** From a recorded intent to nothing left; also what a new engine does with a deletion it finds begun. */
export async function finishDelete(engine: Engine, row: WorkspaceRow): Promise<void> {
  await stopSandbox(engine, row)
  await removeAll(engine, row)
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

/** Read when nothing writes any more. */
async function changeReport(engine: Engine, row: WorkspaceRow): Promise<Report> {
  const unknown: Report = {
    changes: { added: 0, modified: 0, deleted: 0 },
    never_exported: { count: 0, entries: [], truncated: true },
  }
  try {
    const found = await engine.backends.layersOf(row).scan(subject(row), EXAMINED)
    const exports = engine.exports.finished(row.id)
    const folders = new Map(
      found.entries
        .filter(({ type }) => type === 'directory')
        .map(({ path, changed_at_ms }) => [path, changed_at_ms]),
    )
    const left = found.entries.filter((entry) => !wasExported(entry, exports, folders))
    return {
      changes: { added: found.added, modified: found.modified, deleted: found.deleted },
      never_exported: {
        count: left.length,
        entries: left.slice(0, LISTED).map(({ path, change, type, size }) => ({ path, change, type, size })),
        truncated: found.truncated || left.length > LISTED,
      },
    }
  } catch (error) {
    // Unknown is not nothing, so it counts as cut short. A report is not worth a workspace that cannot be deleted, e.g. one that an earlier deletion half removed.
    engine.log('delete.report_failed', { workspace: row.id, error: String(error) })
    return unknown
  }
}

/**
 * Whether an export took this entry, or the folder it lies in, after its last change. A folder between them that changed
 * later may hold something else under the same names, e.g. after a rename.
 */
export function wasExported(
  entry: Change,
  exports: ExportRow[],
  folders: Map<string, number> = new Map(),
): boolean {
  if (entry.change === 'deleted') return exports.some(({ path }) => path === '.')
  return exports.some(({ path, started_at }) => {
    const covers = path === '.' || entry.path === path || entry.path.startsWith(`${path}/`)
    if (!covers || started_at <= entry.changed_at_ms) return false
    for (
      let at = posix.dirname(entry.path);
      at !== '.' && `${at}/`.startsWith(path === '.' ? '' : `${path}/`);
      at = posix.dirname(at)
    )
      if ((folders.get(at) ?? 0) >= started_at) return false
    return (folders.get(path) ?? 0) < started_at
  })
}
