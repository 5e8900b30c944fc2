/** What of a workspace was never taken out. */
import { posix } from 'node:path'
import type { DeletionReport } from '../contract/operations/workspace_delete.ts'
import type { Change } from '../hand/protocol.ts'
import type { ExportRow } from '../store/exports.ts'
import type { WorkspaceRow } from '../store/workspaces.ts'
import type { Engine } from './engine.ts'
import { subject } from './layers.ts'

const LISTED = 100
/** Entries looked at one by one; the counts are of all. */
const EXAMINED = 20_000

/** Read when nothing writes any more. */
export async function changeReport(engine: Engine, row: WorkspaceRow): Promise<DeletionReport> {
  const unknown: DeletionReport = {
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
