/** A process of this machine, known by number, start time and boot: numbers are given again, the three together are not. */
import { readFileSync } from 'node:fs'

export interface ProcessIdentity {
  pid: number
  /** Field 22 of /proc/PID/stat, in clock ticks since boot. */
  start_time: number
  boot_id: string
}

let boot: string | undefined
export function bootId(): string {
  boot ??= readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  return boot
}

export function isAlive({ pid, start_time, boot_id }: ProcessIdentity): boolean {
  if (boot_id !== bootId()) return false
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
    // The command name may hold spaces and parentheses: fields are counted after its last parenthesis.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
    return fields[0] !== 'Z' && Number(fields[19]) === start_time
  } catch {
    return false
  }
}
