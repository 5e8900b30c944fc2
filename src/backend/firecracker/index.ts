/** Machines of Firecracker: KVM, no device but disks, vsock and entropy; in its jailer's jail when the engine is root. */
import { readFileSync } from 'node:fs'
import { connect } from 'node:net'
import { join } from 'node:path'
import { PyroError } from '../../contract/errors.ts'
import type { HandService } from '../../hand/index.ts'
import type { MachineProgram } from '../../hand/protocol.ts'
import type { Backend, ChannelClass, SandboxSpec } from '../backend.ts'
import { cgroupParent } from '../cgroup.ts'
import { startMachine } from '../machine.ts'
import { bootId, isAlive, type ProcessIdentity } from '../process.ts'
import { availability, type Trial } from './availability.ts'
import { firecrackerApi } from './client.ts'
import { API_SOCKET, machineRequests, VSOCK } from './config.ts'
import { settle } from './limits.ts'
import { inJail, jailOf, placeOf, programOf, socketOf } from './place.ts'
import { findFirecracker, jailerMissing } from './probe.ts'
import { dialVsock } from './vsock.ts'

export interface FirecrackerOptions {
  hand: HandService
  guestImages: Trial['guestImages']
  runtimeDir: string
  cache: string
  env?: NodeJS.ProcessEnv
}

/** Ports that the agent listens on. */
const PORTS: Record<ChannelClass, number> = { control: 1024, bulk: 1025, network: 1026 }
/** An emulated processor takes two seconds to boot; the rest is for a machine that is busy. */
const GUEST_MS = 30_000
const API_MS = 10_000
const MIB = 1_048_576
/** Beyond the guest's own memory: the process, its page tables, its jail and the page cache of its images. */
const OVERHEAD_MIB = 128
/** Threads besides one for each vCPU: Firecracker's two, the keeper's. */
const THREADS = 32

export function firecrackerBackend(options: FirecrackerOptions): Backend {
  const { hand, guestImages, runtimeDir, cache, env = process.env } = options
  const recordOf = (id: string) => join(runtimeDir, `${id}.json`)
  /** Everything of a machine but its process is found by its id. */
  const groupOf = (mode: 'root' | 'user', id: string) => {
    const parent = cgroupParent(mode)
    return parent === null ? null : `${parent}/pyro-${id}`
  }

  async function start(spec: SandboxSpec) {
    const { id, dir, limits, medium } = spec
    if (medium.kind !== 'disk') throw new TypeError('a machine is given disks, not mounts')
    const [info, found, guest] = await Promise.all([hand.info(), findFirecracker(env), guestImages.ensure()])
    if (info.mode === 'root' && found.jailer === null) throw jailerMissing(found.firecracker)
    const jail = jailOf({ id, mode: info.mode, stage: info.stage, runtimeDir }, found, medium, guest)
    const path = groupOf(info.mode, id)
    const program: MachineProgram = {
      ...programOf(id, found, jail),
      ...medium.owner,
      cgroup: path === null ? null : { path, ...cgroupLimits(limits) },
      record: recordOf(id),
      console: join(dir, 'console.log'),
    }
    await hand.call('jail_make', jail)
    try {
      const started = await startMachine(hand.call, program, async () => {
        const api = firecrackerApi(socketOf(runtimeDir, id, API_SOCKET))
        try {
          await listening(socketOf(runtimeDir, id, API_SOCKET), recordOf(id))
          const { version } = found
          const { disks, inspect } = medium
          const requests = machineRequests({ limits, disks, inspect, version, inJail: inJail(jail) })
          for (const [path, body] of requests) await api.put(path, body)
        } finally {
          api.close()
        }
      })
      const runtime = `firecracker ${found.version.join('.')}`
      return { ...started, boot_id: bootId(), holder: await hand.holderId(), runtime }
    } catch (error) {
      await hand.call('jail_remove', { dir: jail.dir, sockets: jail.sockets })
      throw error
    }
  }

  return {
    name: 'firecracker',
    isolation: 'machine',
    executionMode: 'machine',
    medium: 'disk',
    availability: () => availability({ hand, guestImages, cache, env }),
    start,
    find: isAlive,
    connect: (id, use) => dialVsock(socketOf(runtimeDir, id, VSOCK), PORTS[use], { timeoutMs: GUEST_MS }),
    async stop(id, sandbox) {
      const { mode, stage } = await hand.info()
      const known = sandbox?.boot_id === bootId() ? { pid: sandbox.pid, start_time: sandbox.start_time } : {}
      await hand.call('machine_stop', { ...known, record: recordOf(id), cgroup: groupOf(mode, id) })
      await hand.call('jail_remove', placeOf({ id, stage, runtimeDir }))
    },
    limits: async (asked) => settle(asked),
  }
}

/**
 * Waits until the process takes connections, or has ended.
 * @throws machine_failed, timed_out
 */
async function listening(socket: string, record: string): Promise<void> {
  const deadline = performance.now() + API_MS
  while (!(await connects(socket))) {
    if (!runs(record)) throw new PyroError('machine_failed', 'Firecracker ended at once.')
    if (performance.now() > deadline)
      throw new PyroError('timed_out', `Firecracker did not listen within ${API_MS} ms.`)
    await new Promise((resolve) => setTimeout(resolve, 2))
  }
}

function connects(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const trial = connect(socket, () => {
      trial.destroy()
      resolve(true)
    })
    trial.on('error', () => resolve(false))
  })
}

function runs(record: string): boolean {
  try {
    return isAlive(JSON.parse(readFileSync(record, 'utf8')) as ProcessIdentity)
  } catch {
    return false
  }
}

function cgroupLimits({ vcpu_count, mem_mib }: SandboxSpec['limits']) {
  // No quota of CPU time: the machine has no more processors than it may use.
  return { cpu: 0, memory: (mem_mib + OVERHEAD_MIB) * MIB, pids: vcpu_count + THREADS }
}
