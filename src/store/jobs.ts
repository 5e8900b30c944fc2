import type { Database } from './open.ts'

/** What is known of a command's end; the shape is the engine's, the store only keeps it. */
export interface JobRow<Status = unknown> {
  workspace_id: string
  sequence: number
  id: string
  command: string | string[]
  cwd: string
  state: 'running' | 'exited' | 'lost'
  status: Status | null
  started_at: number
}

export function jobTable<Status>(db: Database) {
  const next = db.prepare('SELECT coalesce(max(sequence), 0) + 1 AS next FROM jobs WHERE workspace_id = ?')
  const insert = db.prepare('INSERT INTO jobs VALUES (?, ?, ?, ?, ?, ?, NULL, ?)')
  const one = db.prepare('SELECT * FROM jobs WHERE workspace_id = ? AND id = ?')
  const last = db.prepare('SELECT * FROM jobs WHERE workspace_id = ? ORDER BY sequence DESC LIMIT ?')
  const running = db.prepare(
    `SELECT * FROM jobs WHERE state = 'running' AND workspace_id = ? ORDER BY sequence DESC`,
  )
  const end = db.prepare('UPDATE jobs SET state = ?, status = ? WHERE workspace_id = ? AND id = ?')
  const remove = db.prepare('DELETE FROM jobs WHERE workspace_id = ? AND id = ?')
  const decode = (raw: Record<string, unknown>) =>
    ({
      ...raw,
      command: JSON.parse(raw['command'] as string),
      status: raw['status'] === null ? null : JSON.parse(raw['status'] as string),
    }) as JobRow<Status>

  return {
    nextSequence(workspace: string): number {
      return (next.get(workspace) as { next: number }).next
    },
    insert(row: Omit<JobRow<Status>, 'status'>) {
      insert.run(
        row.workspace_id,
        row.sequence,
        row.id,
        JSON.stringify(row.command),
        row.cwd,
        row.state,
        row.started_at,
      )
    },
    find(workspace: string, id: string): JobRow<Status> | undefined {
      const raw = one.get(workspace, id)
      return raw && decode(raw)
    },
    /** The newest first. */
    list(workspace: string, limit: number): JobRow<Status>[] {
      return last.all(workspace, limit).map(decode)
    },
    running(workspace: string): JobRow<Status>[] {
      return running.all(workspace).map(decode)
    },
    end(workspace: string, id: string, state: 'exited' | 'lost', status: Status | null) {
      end.run(state, status === null ? null : JSON.stringify(status), workspace, id)
    },
    remove(workspace: string, id: string) {
      remove.run(workspace, id)
    },
  }
}
export type JobTable<Status> = ReturnType<typeof jobTable<Status>>
