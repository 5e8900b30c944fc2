/**
 * An engine leaves when nothing runs: no workspace, no call, no address it has to answer on, and nobody came for a while. One
 * that has a workspace to delete some time stays for it: nobody else would.
 */
import type { Engine } from '../engine/engine.ts'

const CHECK_MS = 5000
const DEFAULT_SECONDS = 120

export interface IdleOptions {
  engine: Engine
  inFlight: () => number
  leave: () => void
}

export function idleWatch({ engine, inFlight, leave }: IdleOptions): { stop: () => void } {
  const seconds = Number(process.env['PYRO_IDLE_SECONDS'] ?? DEFAULT_SECONDS)
  let quietSince = performance.now()
  const timer = setInterval(() => {
    const busy =
      inFlight() > 0 ||
      engine.listening.wanted() ||
      engine.queues.size() > 0 ||
      engine.lifetimes.pending() ||
      engine.workspaces.list().some(({ state }) => state === 'running')
    if (busy) quietSince = performance.now()
    else if (performance.now() - quietSince > seconds * 1000) leave()
  }, CHECK_MS)
  timer.unref()
  return { stop: () => clearInterval(timer) }
}
