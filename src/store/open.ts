/** The state of one PYRO_HOME: one SQLite file in WAL mode, so that a killed engine loses no committed record. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { migrate } from './migrations.ts'

export type Database = DatabaseSync

export function openStore(home: string): Database {
  mkdirSync(home, { recursive: true, mode: 0o700 })
  const db = new DatabaseSync(join(home, 'pyro.db'))
  db.exec(
    'PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON; PRAGMA busy_timeout = 5000',
  )
  migrate(db)
  return db
}

/** Runs `write` as one transaction: all of it is recorded, or nothing. */
export function transaction<T>(db: Database, write: () => T): T {
  db.exec('BEGIN IMMEDIATE')
  try {
    const result = write()
    db.exec('COMMIT')
    return result
  } catch (error) {
    // A full disk has rolled back by itself already.
    if (db.isTransaction) db.exec('ROLLBACK')
    throw error
  }
}
