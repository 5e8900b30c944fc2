/** A layer store with the backend that goes with it, without an engine: real sandboxes over layers that a test made. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Backend, DiskMedium, SandboxSpec } from '../../src/backend/backend.ts'
import { ociBackend } from '../../src/backend/oci/index.ts'
import { qemuBackend } from '../../src/backend/qemu/index.ts'
import type { Guest } from '../../src/channel/guest.ts'
import { guests } from '../../src/channel/guests.ts'
import { debianEnvironment } from '../../src/environment/debian.ts'
import { DEBIAN_12_BASE } from '../../src/environment/definitions.ts'
import type { Environment } from '../../src/environment/environment.ts'
import { guestImages } from '../../src/environment/guest.ts'
import { hostEnvironment } from '../../src/environment/host.ts'
import type { HandService } from '../../src/hand/index.ts'
import { layerPaths } from '../../src/layer/stack.ts'
import { directoryStore } from '../../src/layer/store/directory.ts'
import { diskStore } from '../../src/layer/store/disk.ts'
import type { LayerStore, Subject } from '../../src/layer/store/store.ts'
import type { SandboxRecord } from '../../src/store/workspaces.ts'
import { ROOT } from './users.ts'

export interface Stand {
  store: LayerStore
  /** A new workspace with a sandbox that has its /workspace; `fill` comes between stack and start. */
  create: (
    source: string | null,
    fill?: (of: Subject, store: LayerStore) => Promise<unknown>,
  ) => Promise<Subject>
  /** What a script of a shell inside says; it has to end well. */
  sh: (of: Subject, script: string) => Promise<string>
  /** Ends the sandbox at once, without any order. */
  stop: (of: Subject) => Promise<void>
  /** Takes away what is left of every workspace. */
  clear: () => Promise<void>
}

const LIMITS: SandboxSpec['limits'] = {
  enforcement: 'full',
  vcpu_count: 1,
  mem_mib: 256,
  pids_limit: 256,
  disk_mib: 512,
  notes: [],
}
const BOOT_MS = 60_000
let slots = 0

export function stand(kind: LayerStore['kind'], hand: HandService, folder: string): Stand {
  const [home, runtimeDir] = [join(folder, 'home'), join(folder, 'run')]
  const cache = process.env['PYRO_TEST_CACHE'] ?? join(folder, 'cache')
  const guest = join(ROOT, 'native/bin/pyro-guest')
  const running = new Map<string, SandboxRecord>()
  const all: Subject[] = []
  const channel = guests((id, use) => backend.connect(id, use))

  let backend: Backend
  let store: LayerStore
  let environment: Environment
  if (kind === 'directory') {
    backend = ociBackend({ hand, binary: guest, home, cache, runtimeDir })
    store = directoryStore({ hand, home })
    environment = hostEnvironment({ hand: hand.call, cache })
  } else {
    const images = guestImages({ hand: hand.call, cache, binary: guest })
    backend = qemuBackend({ hand, guestImages: images, runtimeDir, cache, accel: 'tcg' })
    store = diskStore({ hand, home, runtimeDir, withGuest })
    environment = debianEnvironment(DEBIAN_12_BASE, { hand: hand.call, cache })
  }

  async function start(of: Subject, medium: SandboxSpec['medium']): Promise<Guest> {
    const { dir } = layerPaths(home, of.id)
    running.set(of.id, await backend.start({ id: of.id, hostname: of.id, dir, limits: LIMITS, medium }))
    const guest = channel.of(of.id)
    await guest.hello(BOOT_MS)
    return guest
  }
  async function stop({ id }: Subject): Promise<void> {
    channel.drop(id)
    await backend.stop(id, running.get(id) ?? null)
    running.delete(id)
  }
  async function withGuest<T>(
    of: Subject,
    inspect: () => Promise<DiskMedium>,
    use: (guest: Guest) => Promise<T>,
  ): Promise<T> {
    if (running.has(of.id)) return use(channel.of(of.id))
    try {
      const guest = await start(of, await inspect())
      await guest.mountWorkspace(of.seeded)
      return await use(guest)
    } finally {
      await stop(of)
    }
  }

  return {
    store,
    stop,
    async create(source, fill = async () => {}) {
      const of: Subject = { id: `store-${slots}`, slot: slots++, seeded: source !== null }
      all.push(of)
      mkdirSync(join(layerPaths(home, of.id).dir, 'bundle'), { recursive: true, mode: 0o700 })
      const medium = await store.stack(of, environment, LIMITS, {})
      await fill(of, store)
      await Promise.all([
        start(of, medium),
        (async () => {
          if (source !== null && source !== '') await store.seed(of, { path: source }, {})
          await store.seal(of)
        })(),
      ])
      const sandbox = running.get(of.id)!
      const { attach } = backend
      await store.attach(of, { attach: attach && ((from, to) => attach(sandbox, from, to)) })
      return of
    },
    async sh({ id }, script) {
      const status = await channel.of(id).start(
        {
          id: `job-${Date.now()}-${Math.random().toString(36).slice(2)}`,
          argv: ['/bin/sh', '-ec', script],
          cwd: '/workspace',
          env: {},
          user: 'root',
          timeout_ms: 30_000,
          stdin: 'none',
          spool_bytes: 1_048_576,
          attach: false,
        },
        30_000,
        65_536,
      )
      const said = Buffer.from(status.inline?.stdout ?? '', 'base64').toString()
      if (status.exit_code !== 0) throw new Error(`exit code ${status.exit_code}: ${JSON.stringify(status)}`)
      return said
    },
    async clear() {
      for (const of of all.splice(0)) {
        await stop(of)
        await store.drop(of)
      }
      channel.closeAll()
    },
  }
}
