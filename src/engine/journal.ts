/** The one way a record is written: all of it or nothing, with the named fault point on either side. */
import { type Database, transaction } from '../store/open.ts'
import type { FaultPoint, Faults } from './faults.ts'

export type Journal = <T>(point: FaultPoint, write: () => T) => T

export function journal(db: Database, faults: Faults): Journal {
  return (point, write) => {
    faults.before(point)
    const result = transaction(db, write)
    faults.after(point)
    return result
  }
}
