/** What this machine lets us limit, and with what. */
import { readFileSync } from 'node:fs'
import { availableParallelism, totalmem } from 'node:os'
import type { Workspace } from '../../contract/fields.ts'

type Asked = {
  vcpu_count?: number | undefined
  mem_mib?: number | undefined
  pids_limit?: number | undefined
  disk_mib?: number | undefined
}

/** The runtime sets a sandbox up under the same per-process limit, and needs this much itself. */
const LEAST_DATA_MIB = 256

export function settle(asked: Asked, parent: string | null): Workspace['limits'] {
  const cpus = availableParallelism()
  const memory = Math.floor(totalmem() / 1_048_576)
  const settled = {
    vcpu_count: asked.vcpu_count ?? Math.min(cpus, 4),
    mem_mib: asked.mem_mib ?? Math.min(4096, Math.floor(memory / 2)),
    pids_limit: asked.pids_limit ?? 4096,
    disk_mib: null,
  }
  const unmet =
    asked.disk_mib === undefined ? [] : ['A container has no disk of its own: disk_mib is not enforced.']
  if (parent !== null) return { enforcement: 'full', ...settled, notes: unmet }
  const notes = [
    ...unmet,
    `No cgroup is delegated to this user: memory is limited per process (to ${LEAST_DATA_MIB} MiB at least), processes per user of the sandbox, CPUs not at all.`,
  ]
  return { enforcement: 'partial', ...settled, notes }
}

/** OCI resources (runtime-spec, config-linux) for a sandbox with a cgroup of its own. */
export function resources(limits: Workspace['limits']): object {
  const bytes = limits.mem_mib * 1_048_576
  return {
    cpu: { quota: limits.vcpu_count * 100_000, period: 100_000 },
    memory: { limit: bytes, swap: bytes },
    pids: { limit: limits.pids_limit },
    devices: [{ allow: false, access: 'rwm' }],
  }
}

/** Per-process limits: all there is without a cgroup, and a bound on descriptors and core files in any case. */
export function rlimits(limits: Workspace['limits']): { type: string; hard: number; soft: number }[] {
  const ours = hardLimits()
  const bound = (type: string, name: string, most: number) => {
    const hard = Math.min(most, ours.get(name) ?? most)
    return { type, hard, soft: hard }
  }
  const always = [
    bound('RLIMIT_CORE', 'Max core file size', 0),
    bound('RLIMIT_NOFILE', 'Max open files', 65_536),
  ]
  if (limits.enforcement === 'full') return always
  return [
    ...always,
    bound('RLIMIT_NPROC', 'Max processes', limits.pids_limit),
    bound('RLIMIT_DATA', 'Max data size', Math.max(LEAST_DATA_MIB, limits.mem_mib) * 1_048_576),
  ]
}

/** A hard limit can be lowered by anybody and raised by few: ours are the most that can be given. */
function hardLimits(): Map<string, number> {
  const limits = new Map<string, number>()
  for (const line of readFileSync('/proc/self/limits', 'utf8').split('\n')) {
    const [name, , hard] = line.split(/ {2,}/)
    if (name && hard && hard !== 'unlimited') limits.set(name, Number(hard))
  }
  return limits
}
