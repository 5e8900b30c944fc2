/** What of ours is still there, by the folder or id that it belongs to. */
import { readdirSync, readFileSync, existsSync } from 'node:fs'
import { join } from 'node:path'

/** Processes whose arguments or working state name the text. */
export function processesNaming(text: string): string[] {
  const found: string[] = []
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      const args = readFileSync(`/proc/${pid}/cmdline`, 'utf8').replaceAll('\0', ' ').trim()
      if (Number(pid) !== process.pid && args.includes(text)) found.push(`${pid} ${args}`)
    } catch {
      // It ended while we looked.
    }
  }
  return found
}

/** Mounts that any process still holds below the folder. */
export function mountsBelow(folder: string): string[] {
  const found = new Set<string>()
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      for (const line of readFileSync(`/proc/${pid}/mountinfo`, 'utf8').split('\n')) {
        if (
          line
            .split(' ')
            .slice(3, 5)
            .some((path) => path.startsWith(folder))
        )
          found.add(line)
      }
    } catch {
      // It ended while we looked.
    }
  }
  return [...found]
}

/** Folders of cgroups named after a workspace. */
export function cgroupsOf(id: string): string[] {
  const root = '/sys/fs/cgroup'
  const tops = existsSync(root) ? [root, ...readdirSync(root).map((name) => join(root, name))] : []
  return tops.map((top) => join(top, `pyro-${id}`)).filter((path) => existsSync(path))
}
