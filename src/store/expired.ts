import type { Database } from './open.ts'
import type { WorkspaceRow } from './workspaces.ts'

/** A workspace whose time ran out: what is left of it to be told. */
export interface ExpiredRow<Report>
  extends Pick<WorkspaceRow, 'name' | 'labels' | 'environment' | 'created_at'> {
  workspace_id: string
  expired_at: number
  /** What was gone with it; null until that is known. */
  report: Report | null
}

/** As many are remembered. */
const KEPT = 1000

export function expiredTable<Report>(db: Database) {
  const insert = db.prepare(
    `INSERT INTO expired (workspace_id, name, labels, environment, created_at, expired_at) VALUES (?, ?, ?, ?, ?, ?)
     ON CONFLICT (workspace_id) DO NOTHING`,
  )
  const forget = db.prepare('DELETE FROM expired WHERE number <= (SELECT max(number) FROM expired) - ?')
  const report = db.prepare('UPDATE expired SET report = ? WHERE workspace_id = ?')
  const all = db.prepare('SELECT * FROM expired ORDER BY number DESC')
  const one = db.prepare(
    'SELECT * FROM expired WHERE workspace_id = ?1 OR name = ?1 ORDER BY number DESC LIMIT 1',
  )
  const decode = ({ number: _, ...raw }: Record<string, unknown>) =>
    ({
      ...raw,
      labels: JSON.parse(raw['labels'] as string),
      report: raw['report'] === null ? null : JSON.parse(raw['report'] as string),
    }) as ExpiredRow<Report>

  return {
    begin(row: WorkspaceRow, at: number) {
      insert.run(row.id, row.name, JSON.stringify(row.labels), row.environment, row.created_at, at)
      forget.run(KEPT)
    },
    report(workspace: string, found: Report) {
      report.run(JSON.stringify(found), workspace)
    },
    /** The newest first. */
    list(): ExpiredRow<Report>[] {
      return all.all().map(decode)
    },
    /** By id, or the newest of a name. */
    find(ref: string): ExpiredRow<Report> | undefined {
      const raw = one.get(ref)
      return raw && decode(raw)
    },
  }
}
export type ExpiredTable<Report> = ReturnType<typeof expiredTable<Report>>
