import type { Database } from './open.ts'

/** What the engine of this home was told once and keeps to: one JSON value a name. */
export function settingTable(db: Database) {
  const select = db.prepare('SELECT value FROM settings WHERE name = ?')
  const upsert = db.prepare(
    'INSERT INTO settings VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value',
  )
  const remove = db.prepare('DELETE FROM settings WHERE name = ?')
  return {
    get<T>(name: string): T | undefined {
      const row = select.get(name) as { value: string } | undefined
      return row === undefined ? undefined : (JSON.parse(row.value) as T)
    },
    set(name: string, value: unknown) {
      upsert.run(name, JSON.stringify(value))
    },
    forget(name: string) {
      remove.run(name)
    },
  }
}
export type SettingTable = ReturnType<typeof settingTable>
