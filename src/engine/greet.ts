/** The first words with a sandbox that has just been started. */
import { randomBytes } from 'node:crypto'
import type { Backend } from '../backend/backend.ts'
import type { Engine } from './engine.ts'

/** An emulated machine on a busy host. */
export const BOOT_MS = 60_000
const ENTROPY_BYTES = 64

/**
 * A container's socket takes connections before its agent runs, and the first command waits there: nobody waits here, and
 * an agent that never serves is found by that command. A machine boots first, and is told who it is: name, clock and
 * randomness, which it has none of its own of.
 */
export async function greet(engine: Engine, backend: Backend, id: string, hostname: string): Promise<void> {
  const guest = engine.guests.of(id)
  if (backend.medium === 'directory') {
    guest.hello().catch((error) => engine.log('workspace.silent', { workspace: id, error: String(error) }))
    return
  }
  await guest.hello(BOOT_MS)
  await guest.identify({
    hostname,
    machine_id: randomBytes(16).toString('hex'),
    now_ms: Date.now(),
    entropy: randomBytes(ENTROPY_BYTES).toString('base64'),
  })
}
