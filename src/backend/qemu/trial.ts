/** A short life of our kernel in a machine without disks: whether an accelerator really works is found by trying. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Hand, Owner } from '../../hand/protocol.ts'
import { lastWords, leavings, readTail } from '../machine.ts'
import { bootId, isAlive } from '../process.ts'
import { qemuProgram, type Sockets } from './command.ts'
import type { Acceleration } from './kernel.ts'
import type { KvmAccess } from './kvm.ts'
import type { Qemu } from './probe.ts'

export interface Trial {
  hand: Hand
  qemu: Qemu
  accel: Acceleration
  access: Pick<KvmAccess, 'groups' | 'keepGroups'>
  kernel: string
  /** Where its files lie for as long as it lasts. */
  folder: string
  owner: Owner
  /** A kernel that comes to its end needs far less than a second of hardware. */
  boundMs?: number
}

const TAIL_BYTES = 262_144

/**
 * The kernel finds no root, panics and restarts, which ends QEMU: then processor, interrupts and clock have all worked.
 * @returns null, or why not.
 */
export async function tryMachine({
  hand,
  qemu,
  accel,
  access,
  kernel,
  folder,
  owner,
  boundMs = 10_000,
}: Trial): Promise<string | null> {
  const name = `trial-${process.pid}`
  const at = (what: string) => join(folder, `${name}.${what}`)
  const sockets: Sockets = { control: at('c'), bulk: at('b'), network: at('n'), qmp: at('q') }
  const program = {
    program: qemu.path,
    ...qemuProgram({
      id: name,
      limits: { enforcement: 'full', vcpu_count: 1, mem_mib: 128, pids_limit: 0, disk_mib: null, notes: [] },
      medium: { kind: 'disk', disks: [], owner, inspect: true },
      machine: qemu.machine,
      accel,
      kernel,
      initramfs: null,
      sockets,
    }),
    ...owner,
    groups: access.groups,
    keep_groups: access.keepGroups,
    cgroup: null,
    record: at('machine'),
    console: at('log'),
  }
  try {
    const started = await hand('machine_start', program)
    const process = { ...started, boot_id: bootId() }
    for (const end = Date.now() + boundMs; isAlive(process) && Date.now() < end; ) await sleep(20)
    const late = isAlive(process)
    await hand('machine_stop', { ...started, ...leavings(program) })
    const said = readTail(program.console, TAIL_BYTES)
    if (!late && said.includes('Kernel panic') && !said.includes('\npyro: ')) return null
    const words = lastWords(program.console)
    return `A trial machine ${late ? `did nothing for ${boundMs} ms` : 'failed'}${words && `: ${words}`}.`
  } finally {
    rmSync(program.console, { force: true })
  }
}
