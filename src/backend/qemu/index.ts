/** Sandboxes as QEMU machines, with KVM or without: no network device, no display, three streams and some disks. */
import { mkdirSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { openSession as beginSession } from '../../channel/session.ts'
import { PyroError, toPyroError } from '../../contract/errors.ts'
import type { HandService } from '../../hand/index.ts'
import type { MachineProgram } from '../../hand/protocol.ts'
import type { Backend, DiskMedium, SandboxSpec } from '../backend.ts'
import { cgroupParent } from '../cgroup.ts'
import { startMachine } from '../machine.ts'
import { bootId, isAlive } from '../process.ts'
import { CLASSES, qemuProgram, type Sockets } from './command.ts'
import type { Acceleration } from './kernel.ts'
import { deviceFacts, isDenied, type KvmAccess, kvmAccess, kvmWorks, type NoKvm } from './kvm.ts'
import { fence, settle } from './limits.ts'
import { findQemu, type Qemu } from './probe.ts'
import { openQmp } from './qmp.ts'
import { tryMachine } from './trial.ts'

export type Accel = 'auto' | 'kvm' | 'tcg'

export interface GuestImages {
  ensure: () => Promise<{ kernel: string; initramfs: string; fingerprint: string }>
}

export interface QemuOptions {
  hand: HandService
  guestImages: GuestImages
  runtimeDir: string
  cache: string
  /** auto: KVM where it works. kvm: an error where it does not. */
  accel: Accel
  /** The host's half of a session on a stream that keeps bytes of dead ones. Default: the channel's. */
  openSession?: (socket: Socket, options: { timeoutMs: number }) => Duplex | Promise<Duplex>
}

/** What machines of this host run on. */
export interface QemuSupport {
  qemu: Qemu
  /** `why` explains what `accel` is not. */
  accel: 'kvm' | 'tcg'
  why: NoKvm | null
}

export interface QemuBackend extends Backend {
  /** @throws tool_missing, and not_supported where KVM was asked for and is not there. */
  support: () => Promise<QemuSupport>
}

/** A loaded host emulates slowly: a start is given up only when nothing at all happens. */
const MONITOR_MS = 30_000
const SESSION_MS = 60_000
/** Who a trial runs as where the engine is root: the last before the ids of workspaces. */
const TRIAL_OWNER = 1_879_048_191

export function qemuBackend({
  hand,
  guestImages,
  runtimeDir,
  cache,
  accel,
  openSession = beginSession,
}: QemuOptions): QemuBackend {
  const own = (id: string, what: string) => join(runtimeDir, `${id}.${what}`)
  const socketsOf = (id: string) =>
    Object.fromEntries(
      [...CLASSES, 'qmp' as const].map((name) => [name, own(id, `${name}.sock`)]),
    ) as unknown as Sockets
  let tscKHz: Promise<number> | undefined
  let tried: Promise<string | null> | undefined

  /** What the hand made for a machine, whether or not it was recorded. */
  async function possessions(id: string) {
    const parent = cgroupParent((await hand.info()).mode)
    return {
      record: own(id, 'machine'),
      cgroup: parent === null ? null : `${parent}/pyro-${id}`,
      sockets: Object.values(socketsOf(id)),
    }
  }

  /** The program with all that belongs to one machine. */
  async function assemble(
    spec: SandboxSpec & { medium: DiskMedium },
    qemu: Qemu,
    acceleration: Acceleration,
    access: KvmAccess | null,
  ): Promise<MachineProgram> {
    const { id, limits, medium } = spec
    const { kernel, initramfs } = await guestImages.ensure()
    const { record, cgroup } = await possessions(id)
    const sockets = socketsOf(id)
    return {
      program: qemu.path,
      ...qemuProgram({
        id,
        limits,
        medium,
        machine: qemu.machine,
        accel: acceleration,
        kernel,
        initramfs,
        sockets,
      }),
      ...medium.owner,
      groups: access?.groups ?? [],
      keep_groups: access?.keepGroups ?? false,
      cgroup: cgroup === null ? null : fence(cgroup, limits, acceleration.kind === 'tcg'),
      record,
      console: join(spec.dir, 'console.log'),
    }
  }

  async function decide(qemu: Qemu): Promise<KvmAccess | NoKvm> {
    if (accel === 'tcg') return { reason: 'Emulation was asked for.' }
    const { mode } = await hand.info()
    const access = kvmAccess(deviceFacts(mode), qemu.version)
    if (isDenied(access)) return access
    const { kernel, fingerprint } = await guestImages.ensure()
    const owner = { root: TRIAL_OWNER, user: 1 }[mode]
    tried ??= kvmWorks(join(cache, `qemu-kvm-${mode}.json`), qemu, fingerprint, () =>
      tryMachine({
        hand: hand.call,
        qemu,
        accel: { kind: 'kvm', descriptor: access.descriptor },
        access,
        kernel,
        folder: runtimeDir,
        owner: { uid: owner, gid: owner },
      }),
    ).finally(() => {
      tried = undefined
    })
    const why = await tried
    return why === null ? access : { reason: why }
  }

  async function choose(): Promise<{ qemu: Qemu; access: KvmAccess | NoKvm }> {
    const qemu = await findQemu()
    const access = await decide(qemu)
    if (accel === 'kvm' && isDenied(access))
      throw new PyroError('not_supported', `KVM was asked for. ${access.reason}`, { hint: access.hint })
    return { qemu, access }
  }

  async function acceleration(access: KvmAccess | NoKvm): Promise<Acceleration> {
    if (!isDenied(access)) return { kind: 'kvm', descriptor: access.descriptor }
    tscKHz ??= hand.call('tsc', {}).then(({ khz }) => khz)
    tscKHz.catch(() => {
      tscKHz = undefined
    })
    return { kind: 'tcg', tscKHz: await tscKHz }
  }

  return {
    name: 'qemu',
    isolation: 'machine',
    executionMode: 'machine',
    medium: 'disk',

    async availability() {
      try {
        const { access } = await choose()
        if (!isDenied(access)) return { usable: true, hardware: true, reason: null, hint: null }
        return { usable: true, hardware: false, reason: access.reason, hint: access.hint ?? null }
      } catch (error) {
        const { message, hint } = toPyroError(error)
        return { usable: false, hardware: false, reason: message, hint: hint ?? null }
      }
    },

    async start(spec) {
      const { medium } = spec
      if (medium.kind !== 'disk') throw new TypeError('a machine is given disks, not mounts')
      const { qemu, access } = await choose()
      const program = await assemble(
        { ...spec, medium },
        qemu,
        await acceleration(access),
        isDenied(access) ? null : access,
      )
      mkdirSync(spec.dir, { recursive: true, mode: 0o700 })
      const started = await startMachine(hand.call, program, () => monitorAnswers(spec.id))
      return { ...started, boot_id: bootId(), holder: await hand.holderId(), runtime: qemu.path }
    },

    find: isAlive,

    connect: (id, use) => openSession(connect(socketsOf(id)[use]), { timeoutMs: SESSION_MS }),

    async stop(id, sandbox) {
      const known =
        sandbox?.boot_id === bootId() ? { pid: sandbox.pid, start_time: sandbox.start_time } : undefined
      await hand.call('machine_stop', { ...known, ...(await possessions(id)) })
    },

    async limits(asked) {
      const { access } = await choose()
      return settle(asked, isDenied(access) ? access.reason : null)
    },

    async support() {
      const { qemu, access } = await choose()
      return isDenied(access) ? { qemu, accel: 'tcg', why: access } : { qemu, accel: 'kvm', why: null }
    },
  }

  /** Its monitor greets when the machine is complete: disks open, memory there, processors running. */
  async function monitorAnswers(id: string): Promise<void> {
    const monitor = await openQmp(socketsOf(id).qmp, { timeoutMs: MONITOR_MS })
    monitor.close()
  }
}
