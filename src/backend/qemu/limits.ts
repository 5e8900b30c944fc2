/** What of the asked limits a QEMU machine has: its own size, which nothing inside can pass. */
import { availableParallelism } from 'node:os'
import { PyroError } from '../../contract/errors.ts'
import type { Workspace } from '../../contract/fields.ts'
import type { MachineProgram } from '../../hand/protocol.ts'
import type { Backend } from '../backend.ts'
import { TRANSLATIONS_MIB } from './command.ts'

/** What our kernel and agent need to start. */
const LEAST_MEMORY_MIB = 128
const MOST_VCPUS = 32
const DEFAULTS = { mem_mib: 1024, pids_limit: 4096, disk_mib: 16_384 }

/** MiB that QEMU itself, its keeper and the page cache of its disks may take beside the guest's memory. */
const OVERHEAD_MIB = 256
/** CPUs for what works on the guest's behalf: disks, channel. */
const OVERHEAD_CPUS = 0.5
/** Threads beside the guest's CPUs: QEMU's workers are 64 at most. */
const OVERHEAD_THREADS = 128

/**
 * `emulated` is why there is no KVM, null with it.
 * @throws not_supported for less memory than the guest starts in.
 */
export function settle(
  asked: Parameters<Backend['limits']>[0],
  emulated: string | null,
  cpus = availableParallelism(),
): Workspace['limits'] {
  const { mem_mib = DEFAULTS.mem_mib, pids_limit = DEFAULTS.pids_limit, disk_mib = DEFAULTS.disk_mib } = asked
  if (mem_mib < LEAST_MEMORY_MIB)
    throw new PyroError('not_supported', `A machine needs at least ${LEAST_MEMORY_MIB} MiB of memory.`, {
      hint: `Ask for --mem-mib ${LEAST_MEMORY_MIB} or more.`,
    })
  const most = Math.min(cpus, MOST_VCPUS)
  const wanted = asked.vcpu_count ?? Math.min(most, 4)
  const vcpu_count = Math.min(wanted, most)
  const notes = []
  if (vcpu_count !== wanted)
    notes.push(`A machine has no more CPUs than this host (${cpus}), ${MOST_VCPUS} at most: ${vcpu_count}.`)
  notes.push(
    emulated === null ? 'Accelerated by KVM.' : `Emulated, and several times slower for it. ${emulated}`,
  )
  return { enforcement: 'full', vcpu_count, mem_mib, pids_limit, disk_mib, notes }
}

/** A second fence around the whole process, for a QEMU that its guest has taken over. */
export function fence(
  path: string,
  { vcpu_count, mem_mib }: Workspace['limits'],
  emulated: boolean,
): NonNullable<MachineProgram['cgroup']> {
  const memory = mem_mib + OVERHEAD_MIB + (emulated ? TRANSLATIONS_MIB : 0)
  return {
    path,
    cpu: vcpu_count + OVERHEAD_CPUS,
    memory: memory * 1_048_576,
    pids: vcpu_count + OVERHEAD_THREADS,
  }
}
