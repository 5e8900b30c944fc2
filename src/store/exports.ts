import type { Database } from './open.ts'

/** What was taken out, so that deleting can say what never was. */
export interface ExportRow {
  /** Relative to /workspace; '.' is all of it. */
  path: string
  /** Milliseconds since the epoch at which reading began: what changed later was not taken. */
  started_at: number
}

export function exportTable(db: Database) {
  const insert = db.prepare('INSERT INTO exports VALUES (?, ?, ?, ?, NULL) RETURNING rowid')
  const finish = db.prepare('UPDATE exports SET finished_at = ? WHERE rowid = ?')
  const forget = db.prepare('DELETE FROM exports WHERE rowid = ?')
  const unfinished = db.prepare('DELETE FROM exports WHERE finished_at IS NULL')
  const finished = db.prepare(
    'SELECT path, started_at FROM exports WHERE workspace_id = ? AND finished_at IS NOT NULL',
  )
  return {
    begin(workspace: string, path: string, output: string, at: number): number {
      return (insert.get(workspace, path, output, at) as { rowid: number }).rowid
    },
    finish(row: number, at: number) {
      finish.run(at, row)
    },
    forget(row: number) {
      forget.run(row)
    },
    forgetUnfinished() {
      unfinished.run()
    },
    finished(workspace: string): ExportRow[] {
      return finished.all(workspace) as unknown as ExportRow[]
    },
  }
}
export type ExportTable = ReturnType<typeof exportTable>
