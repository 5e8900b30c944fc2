/** The engine's process: one per PYRO_HOME, the only place where the parts are put together. */
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expiredTable } from '../store/expired.ts'
import { exportTable } from '../store/exports.ts'
import { jobTable } from '../store/jobs.ts'
import { openStore } from '../store/open.ts'
import { ownRanges, type Ranges, sharedRanges } from '../store/ranges.ts'
import { workspaceTable } from '../store/workspaces.ts'
import type { Backend } from '../backend/backend.ts'
import { firecrackerBackend } from '../backend/firecracker/index.ts'
import { type Accel, qemuBackend } from '../backend/qemu/index.ts'
import { ociBackend } from '../backend/oci/index.ts'
import { guests } from '../channel/guests.ts'
import type { JobStatus } from '../channel/messages.ts'
import type { DeletionReport } from '../contract/operations/workspace_delete.ts'
import { PyroError, toPyroError } from '../contract/errors.ts'
import { catalogue } from '../environment/catalogue.ts'
import { debianEnvironment } from '../environment/debian.ts'
import { DEBIANS } from '../environment/definitions.ts'
import { guestImages } from '../environment/guest.ts'
import { hostEnvironment } from '../environment/host.ts'
import type { Backends, Engine } from '../engine/engine.ts'
import { parseFaults } from '../engine/faults.ts'
import { handlers } from '../engine/handlers.ts'
import { lender } from '../engine/lend.ts'
import { lifetimes } from '../engine/lifetimes.ts'
import { journal } from '../engine/journal.ts'
import { queues } from '../engine/queue.ts'
import { recover } from '../engine/recovery.ts'
import { handService } from '../hand/index.ts'
import type { LayerStore } from '../layer/store/store.ts'
import { diskStore } from '../layer/store/disk.ts'
import { directoryStore } from '../layer/store/directory.ts'
import { type HttpServer, serve } from '../surface/http/serve.ts'
import { listening, type OpenListener } from '../engine/listen.ts'
import { settingTable } from '../store/settings.ts'
import { idleWatch } from './idle.ts'
import { logFile } from './log.ts'
import { seedLimitsOf } from './limits.ts'
import { takeLock } from './lock.ts'
import { networkOf } from './network.ts'
import { type Paths, resolvePaths } from './paths.ts'
import { privateFolder } from './private.ts'
import { programs, VERSION } from './package.ts'

async function main(): Promise<void> {
  const paths = resolvePaths()
  process.umask(0o077)
  for (const folder of [paths.home, paths.cache]) mkdirSync(folder, { recursive: true, mode: 0o700 })
  privateFolder(paths.runtimeDir)
  const lock = takeLock(paths.home)
  if (lock === null) return
  rmSync(paths.startupError, { force: true })

  const log = logFile(paths.log)
  // What goes wrong in work that nobody waits for concerns one workspace; the others need the engine.
  process.on('unhandledRejection', (error) => log('engine.unhandled', { error: String(error) }))
  const network = networkOf(() => server, log)
  const { engine, store } = wire(paths, log, network.open, (options) => void stop(options))
  for (const work of recover(engine)) void work
  engine.lifetimes.look()
  const server: HttpServer = await serve({
    handlers: handlers(engine),
    socket: paths.socket,
    version: VERSION,
    log,
  })
  await engine.listening.resume()
  log('engine.started', { pid: process.pid, version: VERSION })

  const idle = idleWatch({ engine, inFlight: server.inFlight, leave: () => void stop({ holder: true }) })
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const)
    process.on(signal, () => void stop({ holder: false }))

  let stopping = false
  async function stop({ holder }: { holder: boolean }): Promise<void> {
    if (stopping) return
    stopping = true
    idle.stop()
    engine.listening.stop()
    engine.lifetimes.stop()
    await server.close()
    await network.close()
    await Promise.race([engine.queues.idle(), new Promise((resolve) => setTimeout(resolve, 30_000).unref())])
    await engine.lender.endAll()
    engine.guests.closeAll()
    // The holder's mounts are needed as long as a workspace runs, whoever asked.
    const running = engine.workspaces.list().some(({ state }) => state === 'running')
    await engine.hand.close(holder && !running)
    log('engine.stopped', { holder_ended: holder && !running })
    store.close()
    lock?.release()
    process.exit(0)
  }
}

function wire(paths: Paths, log: Engine['log'], open: OpenListener, requestStop: Engine['requestStop']) {
  const { home, cache, runtimeDir, socket } = paths
  const store = openStore(home)
  const workspaces = workspaceTable(store)
  const { native, guest } = programs()
  const record = journal(store, parseFaults(process.env['PYRO_FAULT']))
  const hand = handService({
    binary: native,
    home,
    runtimeDir,
    async onHolder(point) {
      record(`holder.${point}`, () => {})
    },
  })
  const seedLimits = seedLimitsOf(process.env)
  const directory = directoryStore({ hand, home, seedLimits })
  const images = guestImages({ hand: hand.call, cache, binary: guest })
  const lending = lender(() => engine)
  const disk = diskStore({ hand, home, runtimeDir, seedLimits, withGuest: lending.withGuest })
  const machines = { hand, guestImages: images, runtimeDir, cache }
  const backends = pairs([
    [firecrackerBackend(machines), disk],
    [qemuBackend({ ...machines, accel: accelOf(process.env['PYRO_QEMU_ACCEL']) }), disk],
    [ociBackend({ hand, binary: guest, home, cache, runtimeDir }), directory],
  ])
  const all = queues()
  const engine: Engine = {
    home,
    cache,
    native,
    socket,
    version: VERSION,
    startedAt: Date.now(),
    workspaces,
    ranges: rangesOf(paths, log),
    jobs: jobTable<JobStatus>(store),
    exports: exportTable(store),
    expired: expiredTable<DeletionReport>(store),
    record,
    binary: native,
    queues: all,
    hand,
    backends,
    lender: lending,
    lifetimes: lifetimes(() => engine),
    guests: guests((id, use) => backends.of(workspaces.placementOf(id)).connect(id, use)),
    environments: catalogue([
      hostEnvironment({ hand: hand.call, cache }),
      ...DEBIANS.map((definition) => debianEnvironment(definition, { hand: hand.call, cache })),
    ]),
    guestImages: images,
    listening: listening({ home, settings: settingTable(store), record, queues: all, open, log }),
    log,
    requestStop,
  }
  return { engine, store }
}

/** An ordinary user's workspaces share that user's one range. */
function rangesOf({ home, shared }: Paths, log: Engine['log']): Ranges {
  if (process.geteuid?.() !== 0) return ownRanges
  return sharedRanges({
    home,
    shared,
    complain: (error) => log('ranges.unshared', { shared, error: String(error) }),
  })
}

function accelOf(setting = 'auto'): Accel {
  if (setting === 'auto' || setting === 'kvm' || setting === 'tcg') return setting
  throw new PyroError('invalid_input', `PYRO_QEMU_ACCEL=${setting}: expected auto, kvm or tcg.`)
}

/** Each backend with the store of layers that it is given things from. */
function pairs(all: [Backend, LayerStore][]): Backends {
  const byName = new Map(all.map((pair) => [pair[0].name, pair]))
  const require = (name: Backend['name']) => {
    const pair = byName.get(name)
    if (pair === undefined) throw new Error(`this engine has no backend ${name}`)
    return pair
  }
  return {
    all: all.map(([backend]) => backend),
    of: (row) => require(row.backend)[0],
    layersOf: (row) => require(row.backend)[1],
  }
}

main().catch((thrown) => {
  const error = toPyroError(thrown)
  const paths = resolvePaths()
  if (existsSync(paths.home))
    writeFileSync(paths.startupError, JSON.stringify({ error: error.toBody() }), { mode: 0o600 })
  console.error(new Date().toISOString(), join(paths.home), thrown)
  process.exit(70)
})
