/** Of several clients that find no engine at the same time one starts it; the others wait for what it starts. */
import { readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'

/** Longer than a start may take. */
const STALE_MS = 15_000

/** Gives how to end the turn, or undefined while another process has it. */
export function takeTurn(path: string): (() => void) | undefined {
  if (!write(path)) {
    if (isTaken(path)) return undefined
    // Whoever took it is gone. Should two find that at once, both start an engine, and its lock leaves one.
    rmSync(path, { force: true })
    if (!write(path)) return undefined
  }
  return () => rmSync(path, { force: true })
}

function write(path: string): boolean {
  try {
    writeFileSync(path, String(process.pid), { flag: 'wx', mode: 0o600 })
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
}

function isTaken(path: string): boolean {
  try {
    if (Date.now() - statSync(path).mtimeMs > STALE_MS) return false
    const pid = Number(readFileSync(path, 'utf8'))
    // Not written yet.
    if (pid === 0) return true
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
