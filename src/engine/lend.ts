/**
 * Lends the guest that has a workspace's disks. While the sandbox runs that is the one inside it. When it has ended, a
 * machine is started over the same disks that only reads and runs nothing of the user's; it stays for a moment, as who
 * asks once asks again.
 */
import type { DiskMedium } from '../backend/backend.ts'
import type { Guest } from '../channel/guest.ts'
import { layerPaths } from '../layer/stack.ts'
import type { Subject } from '../layer/store/store.ts'
import type { SandboxRecord, WorkspaceRow } from '../store/workspaces.ts'
import type { Engine, Lender } from './engine.ts'
import { BOOT_MS } from './greet.ts'
import { requireWorkspace } from './workspaces.ts'

/** How long a machine that only reads outlives its last use. */
const LINGER_MS = 5_000
const SMALL = { vcpu_count: 1, mem_mib: 256, pids_limit: 64 }

interface Reader {
  guest: Promise<Guest>
  users: number
  timer: NodeJS.Timeout | undefined
}

/** The engine is asked for late: it holds the stores, which hold this. */
export function lender(engine: () => Engine): Lender {
  const readers = new Map<string, Reader>()

  async function withGuest<T>(
    of: Subject,
    inspect: () => Promise<DiskMedium>,
    use: (guest: Guest) => Promise<T>,
  ): Promise<T> {
    const row = requireWorkspace(engine(), of.id)
    if (isLive(engine(), row)) return use(engine().guests.of(row.id))
    const reader = readers.get(row.id) ?? open(row, inspect)
    clearTimeout(reader.timer)
    reader.users++
    try {
      return await use(await reader.guest)
    } finally {
      reader.users--
      if (reader.users === 0 && readers.get(row.id) === reader)
        reader.timer = setTimeout(
          () =>
            void end(row.id).catch((error) =>
              engine().log('lend.end_failed', { workspace: row.id, error: String(error) }),
            ),
          LINGER_MS,
        )
    }
  }

  function open(row: WorkspaceRow, inspect: () => Promise<DiskMedium>): Reader {
    const guest = startReader(engine(), row, inspect)
    const reader: Reader = { guest, users: 0, timer: undefined }
    readers.set(row.id, reader)
    guest.catch(() => {
      if (readers.get(row.id) === reader) readers.delete(row.id)
    })
    return reader
  }

  async function end(id: string): Promise<void> {
    const reader = readers.get(id)
    if (reader === undefined) return
    readers.delete(id)
    clearTimeout(reader.timer)
    await reader.guest.catch(() => {})
    engine().guests.drop(id)
    await engine().backends.of(engine().workspaces.placementOf(id)).stop(id, null)
  }

  return {
    withGuest,
    end,
    async endAll() {
      await Promise.allSettled([...readers.keys()].map(end))
    },
  }
}

/** A workspace that is being created or started has a guest as soon as its sandbox is recorded. */
function isLive(engine: Engine, row: WorkspaceRow): boolean {
  const mayRun = ['creating', 'starting', 'running', 'deleting'].includes(row.state)
  return mayRun && row.sandbox !== null && engine.backends.of(row).find(row.sandbox)
}

async function startReader(
  engine: Engine,
  row: WorkspaceRow,
  inspect: () => Promise<DiskMedium>,
): Promise<Guest> {
  const backend = engine.backends.of(row)
  // Whatever is left of the sandbox, also of an earlier reader: two machines must not have one disk.
  await backend.stop(row.id, row.sandbox)
  const medium = await inspect()
  const { dir } = layerPaths(engine.home, row.id)
  const limits = { ...row.limits, ...SMALL }
  const sandbox: SandboxRecord = await backend.start({ id: row.id, hostname: row.id, dir, limits, medium })
  const guest = engine.guests.of(row.id)
  try {
    await guest.hello(BOOT_MS)
    await guest.mountWorkspace(row.seed.origin_kind !== 'empty')
    return guest
  } catch (error) {
    engine.guests.drop(row.id)
    await backend.stop(row.id, sandbox)
    throw error
  }
}
