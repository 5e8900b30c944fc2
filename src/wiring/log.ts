/** The engine's log: one JSON object a line, bounded, and never a reason for anything to fail. */
import { appendFileSync, renameSync, statSync } from 'node:fs'
import type { Engine } from '../engine/engine.ts'

/** At this size the file becomes `<path>.1`, and what that name held is gone. */
const MAX_BYTES = 8 * 1_048_576
/** Lines between two looks at the size. */
const LOOK_EVERY = 200

export function logFile(path: string): Engine['log'] {
  let lines = 0
  return (event, fields = {}) => {
    try {
      if (lines++ % LOOK_EVERY === 0 && (statSync(path, { throwIfNoEntry: false })?.size ?? 0) > MAX_BYTES)
        renameSync(path, `${path}.1`)
      appendFileSync(path, `${JSON.stringify({ at: new Date().toISOString(), event, ...fields })}\n`, {
        mode: 0o600,
      })
    } catch {
      // A full disk is reported by what needs the disk.
    }
  }
}
