/** What of the asked limits a Firecracker machine can have. */
import { availableParallelism } from 'node:os'
import { PyroError } from '../../contract/errors.ts'
import type { Workspace } from '../../contract/fields.ts'
import type { Backend } from '../backend.ts'

const MOST_VCPUS = 32
/** What our kernel and agent need to start. */
const LEAST_MEMORY_MIB = 128
const DEFAULTS = { mem_mib: 1024, pids_limit: 4096, disk_mib: 16_384 }

/** @throws not_supported for less memory than the guest starts in. */
export function settle(
  asked: Parameters<Backend['limits']>[0],
  cpus = availableParallelism(),
): Workspace['limits'] {
  const { mem_mib = DEFAULTS.mem_mib, pids_limit = DEFAULTS.pids_limit, disk_mib = DEFAULTS.disk_mib } = asked
  if (mem_mib < LEAST_MEMORY_MIB)
    throw new PyroError('not_supported', `A machine needs at least ${LEAST_MEMORY_MIB} MiB of memory.`, {
      hint: `Ask for --mem-mib ${LEAST_MEMORY_MIB} or more.`,
    })
  const most = Math.min(cpus, MOST_VCPUS)
  const wanted = asked.vcpu_count ?? Math.min(most, 4)
  const vcpu_count = whole(Math.min(wanted, most))
  const notes =
    asked.vcpu_count === undefined || vcpu_count === wanted
      ? []
      : [
          `Firecracker gives a machine 1 or an even number of CPUs, no more than this host's ${cpus} and ${MOST_VCPUS} at most: ${vcpu_count} instead of ${wanted}.`,
        ]
  return { enforcement: 'full', vcpu_count, mem_mib, pids_limit, disk_mib, notes }
}

/** Never more than was asked for: it is a limit. */
function whole(vcpus: number): number {
  return vcpus === 1 ? 1 : vcpus - (vcpus % 2)
}
