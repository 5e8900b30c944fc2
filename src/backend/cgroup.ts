/** Whether, and where, this process may make control groups. */
import { accessSync, constants, existsSync, readFileSync } from 'node:fs'

const ROOT = '/sys/fs/cgroup'
const CONTROLLERS = ['cpu', 'memory', 'pids']

/**
 * Where cgroups of sandboxes go: '' is the top of every hierarchy; null means none can be made. An ordinary user can be
 * given a folder (`PYRO_CGROUP`, relative to the hierarchy) by whoever administers the machine.
 */
export function cgroupParent(mode: 'root' | 'user', setting = process.env['PYRO_CGROUP']): string | null {
  const parent = mode === 'root' ? (setting ?? '') : setting
  if (parent === undefined) return null
  const folders = existsSync(`${ROOT}/cgroup.controllers`)
    ? [`${ROOT}${parent}`]
    : CONTROLLERS.map((controller) => `${ROOT}/${controller}${parent}`)
  if (!folders.every(writable)) return null
  if (folders.length > 1) return parent
  const offered = readFileSync(`${folders[0]}/cgroup.controllers`, 'utf8').split(/\s+/)
  return CONTROLLERS.every((controller) => offered.includes(controller)) ? parent : null
}

function writable(folder: string): boolean {
  try {
    accessSync(folder, constants.W_OK)
    return true
  } catch {
    return false
  }
}
