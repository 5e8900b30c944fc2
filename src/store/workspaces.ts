import type { Workspace } from '../contract/fields.ts'
import type { Database } from './open.ts'

/** A sandbox that was started: enough to know it again, and to know that it is another process's number. */
export interface SandboxRecord {
  pid: number
  start_time: number
  boot_id: string
  /** The holder that is its parent, and whose mounts it was made from. */
  holder: string
  /** The program that started it: an OCI runtime, or what runs a machine. */
  runtime: string
}

/** A point of time that goes on counting only while this machine is awake, and only until it boots again. */
export interface Life {
  boot_id: string
  /** CLOCK_MONOTONIC, in milliseconds. */
  at_ms: number
}

export interface WorkspaceRow {
  id: string
  name: string | null
  /** The name it had when it was created; a sandbox that starts again is called the same. */
  hostname: string
  state: Workspace['state']
  reason: string | null
  environment: string
  backend: Workspace['backend']
  labels: Record<string, string>
  limits: Workspace['limits']
  seed: Workspace['workspace_seed']
  /** Number of its range of user ids on this machine, and of nothing else. */
  slot: number
  sandbox: SandboxRecord | null
  ephemeral: boolean
  created_at: number
  activity_at: number
  /** When it last showed life, as its idle time is counted; null: before that was recorded. */
  life: Life | null
  idle_seconds: number | null
  /** Milliseconds since the epoch. */
  expires_at: number | null
}

type Raw = Record<string, unknown>
const JSON_COLUMNS = ['labels', 'limits', 'seed', 'sandbox', 'life'] as const

export function workspaceTable(db: Database) {
  const insert = db.prepare(
    `INSERT INTO workspaces (id, name, hostname, state, reason, environment, backend, labels, limits, seed, slot, sandbox,
       ephemeral, created_at, activity_at, life, idle_seconds, expires_at)
     VALUES (:id, :name, :hostname, :state, :reason, :environment, :backend, :labels, :limits, :seed, :slot, :sandbox,
       :ephemeral, :created_at, :activity_at, :life, :idle_seconds, :expires_at)`,
  )
  const byRef = db.prepare('SELECT * FROM workspaces WHERE id = ?1 OR name = ?1')
  const all = db.prepare('SELECT * FROM workspaces ORDER BY created_at, id')
  const remove = db.prepare('DELETE FROM workspaces WHERE id = ?')
  const slots = db.prepare('SELECT slot FROM workspaces')
  const counts = db.prepare(
    `SELECT count(*) AS commands, count(*) FILTER (WHERE state = 'running') AS running FROM jobs WHERE workspace_id = ?`,
  )
  const placement = db.prepare('SELECT backend FROM workspaces WHERE id = ?')
  const touch = db.prepare('UPDATE workspaces SET activity_at = ?, life = ? WHERE id = ?')
  const mortal = db.prepare(
    'SELECT * FROM workspaces WHERE idle_seconds IS NOT NULL OR expires_at IS NOT NULL',
  )

  return {
    insert(row: WorkspaceRow) {
      insert.run(encode({ ...row }))
    },
    find(ref: string): WorkspaceRow | undefined {
      const raw = byRef.get(ref)
      return raw && decode(raw)
    },
    list(): WorkspaceRow[] {
      return all.all().map(decode)
    },
    update(id: string, change: Partial<Omit<WorkspaceRow, 'id'>>) {
      const columns = Object.keys(change)
      if (columns.length === 0) return
      const set = columns.map((column) => `${column} = :${column}`).join(', ')
      db.prepare(`UPDATE workspaces SET ${set} WHERE id = :id`).run(encode({ ...change, id }))
    },
    touch(id: string, { activity_at, life }: Pick<WorkspaceRow, 'activity_at' | 'life'>) {
      touch.run(activity_at, JSON.stringify(life), id)
    },
    /** Those that are stopped or deleted by themselves some time. */
    mortal(): WorkspaceRow[] {
      return mortal.all().map(decode)
    },
    remove(id: string) {
      remove.run(id)
    },
    /** The lowest range number that neither a workspace of this home has nor the others do. */
    freeSlot(others: ReadonlySet<number>): number {
      const taken = new Set((slots.all() as { slot: number }[]).map(({ slot }) => slot))
      let free = 0
      while (taken.has(free) || others.has(free)) free++
      return free
    },
    /** Which backend runs it; what a workspace that is gone was run by does not matter any more. */
    placementOf(id: string): Pick<WorkspaceRow, 'backend'> {
      return (placement.get(id) as Pick<WorkspaceRow, 'backend'> | undefined) ?? { backend: 'oci' }
    },
    jobCounts(id: string): { commands: number; running: number } {
      return counts.get(id) as { commands: number; running: number }
    },
  }
}
export type WorkspaceTable = ReturnType<typeof workspaceTable>

function encode(row: Raw): Record<string, string | number | null> {
  const out: Record<string, string | number | null> = {}
  for (const [key, value] of Object.entries(row)) {
    if (typeof value === 'boolean') out[key] = value ? 1 : 0
    else if (value !== null && typeof value === 'object') out[key] = JSON.stringify(value)
    else out[key] = value as string | number | null
  }
  return out
}

function decode(raw: Raw): WorkspaceRow {
  const row: Raw = { ...raw, ephemeral: raw['ephemeral'] === 1 }
  for (const column of JSON_COLUMNS) if (row[column] !== null) row[column] = JSON.parse(row[column] as string)
  return row as unknown as WorkspaceRow
}
