/**
 * Ranges of user ids are this machine's, and root may have several homes. They know of each other by a list that only root can
 * read; which numbers are taken is what each home's own database says. Whoever takes one holds the list meanwhile.
 */
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'

export interface Ranges {
  /** Calls `take` with the numbers that other homes have; none is given to anybody else until it has returned. */
  take: <T>(take: (others: ReadonlySet<number>) => T) => T
}

/** For a home whose ranges concern nobody else. */
export const ownRanges: Ranges = { take: (take) => take(new Set()) }

export interface RangesOptions {
  home: string
  /** Folder of the list. */
  shared: string
  /** Told why other homes could not be looked at; then this one counts alone. */
  complain: (error: unknown) => void
}

export function sharedRanges({ home, shared, complain }: RangesOptions): Ranges {
  // A home that has workspaces already is known to the others before they take their next number.
  attempt(() => release(hold(shared, home)))

  function attempt<T>(work: () => T): T | undefined {
    try {
      return work()
    } catch (error) {
      complain(error)
      return undefined
    }
  }

  return {
    take(take) {
      const list = attempt(() => hold(shared, home))
      try {
        const taken = list && attempt(() => othersOf(list, home).flatMap(slotsOf))
        return take(new Set(taken))
      } finally {
        if (list !== undefined) attempt(() => release(list))
      }
    },
  }
}

/** The list with this home on it, locked until it is released. */
function hold(folder: string, home: string): DatabaseSync {
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const list = new DatabaseSync(join(folder, 'homes.db'))
  try {
    list.exec('PRAGMA busy_timeout = 5000; BEGIN IMMEDIATE')
    list.exec('CREATE TABLE IF NOT EXISTS homes (path TEXT PRIMARY KEY) STRICT')
    list.prepare('INSERT INTO homes VALUES (?) ON CONFLICT DO NOTHING').run(home)
    return list
  } catch (error) {
    list.close()
    throw error
  }
}

function release(list: DatabaseSync): void {
  try {
    list.exec('COMMIT')
  } finally {
    list.close()
  }
}

/** Those that are gone are taken off. */
function othersOf(list: DatabaseSync, home: string): string[] {
  const all = list.prepare('SELECT path FROM homes').all() as { path: string }[]
  const forget = list.prepare('DELETE FROM homes WHERE path = ?')
  return all
    .map(({ path }) => path)
    .filter((path) => {
      if (path === home) return false
      const there = existsSync(join(path, 'pyro.db'))
      if (!there) forget.run(path)
      return there
    })
}

function slotsOf(home: string): number[] {
  const db = new DatabaseSync(join(home, 'pyro.db'), { readOnly: true })
  try {
    db.exec('PRAGMA busy_timeout = 5000')
    return (db.prepare('SELECT slot FROM workspaces').all() as { slot: number }[]).map(({ slot }) => slot)
  } finally {
    db.close()
  }
}
