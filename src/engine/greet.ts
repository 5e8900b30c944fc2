/** The first words with a sandbox that has just been started. */
import { randomBytes } from 'node:crypto'
import type { Engine } from './engine.ts'

/** An emulated machine on a busy host. */
export const BOOT_MS = 60_000
const ENTROPY_BYTES = 64

/**
 * Opens the channel while the sandbox is still starting: its socket takes connections that wait for the agent. One that
 * never serves is found by the first command.
 */
export function call(engine: Engine, id: string): void {
  engine.guests
    .of(id)
    .hello()
    .catch((error) => engine.log('workspace.silent', { workspace: id, error: String(error) }))
}

/** Waits for a machine's agent and tells it who it is: name, clock and randomness, of which it has none of its own. */
export async function introduce(engine: Engine, id: string, hostname: string): Promise<void> {
  const guest = engine.guests.of(id)
  await guest.hello(BOOT_MS)
  await guest.identify({
    hostname,
    machine_id: randomBytes(16).toString('hex'),
    now_ms: Date.now(),
    entropy: randomBytes(ENTROPY_BYTES).toString('base64'),
  })
}
