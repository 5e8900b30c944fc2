/** The first words with a sandbox that has just been started. */
import { createHash, randomBytes } from 'node:crypto'
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

/** Waits for a machine's agent and tells it who it is: name, machine id, clock and randomness. */
export async function introduce(engine: Engine, id: string, hostname: string): Promise<void> {
  const guest = engine.guests.of(id)
  await guest.hello(BOOT_MS)
  await guest.identify({
    hostname,
    machine_id: machineId(id),
    now_ms: Date.now(),
    entropy: randomBytes(ENTROPY_BYTES).toString('base64'),
  })
}

/** A workspace's own, and the same each time it starts: programs know a machine by it. */
function machineId(id: string): string {
  return createHash('sha256').update(`pyro machine-id ${id}`).digest('hex').slice(0, 32)
}
