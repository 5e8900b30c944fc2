/**
 * One engine per PYRO_HOME. The lock is SQLite's own on a file in the state directory: the kernel drops it with the
 * process, however that ends.
 */
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

export interface Lock {
  release: () => void
}

/** Null when another engine has it. */
export function takeLock(home: string): Lock | null {
  const db = new DatabaseSync(join(home, 'engine.lock'))
  try {
    db.exec('PRAGMA locking_mode = EXCLUSIVE; PRAGMA journal_mode = DELETE; BEGIN EXCLUSIVE')
    return { release: () => db.close() }
  } catch (error) {
    db.close()
    if ((error as { errcode?: number }).errcode === 5) return null
    throw error
  }
}
