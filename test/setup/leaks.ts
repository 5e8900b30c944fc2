// Makes the folder that all test homes lie in and, at the end, fails if a process, a mount or a cgroup of ours is left:
// something that leaks in a test leaks on the user's machine too.
import { chmodSync, globSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import type { TestProject } from 'vitest/node'

declare module 'vitest' {
  export interface ProvidedContext {
    pyroTestRoot: string
  }
}

const PATIENCE_MS = 5_000

const attempt = <T>(read: () => T, otherwise: T): T => {
  try {
    return read()
  } catch {
    return otherwise
  }
}

/** Processes whose command line, environment or working folder names the test root. */
function processes(root: string): string[] {
  const mine = new Set([process.pid, process.ppid].map(String))
  return readdirSync('/proc')
    .filter((pid) => /^\d+$/.test(pid) && !mine.has(pid))
    .filter((pid) => {
      const seen = [
        attempt(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8'), ''),
        attempt(() => readFileSync(`/proc/${pid}/environ`, 'utf8'), ''),
        attempt(() => readlinkSync(`/proc/${pid}/cwd`), ''),
      ]
      return seen.some((text) => text.includes(`${root}/`))
    })
    .map(
      (pid) =>
        `process ${pid}: ${attempt(() => readFileSync(`/proc/${pid}/cmdline`, 'utf8'), '').replaceAll('\0', ' ')}`,
    )
}

const mounts = (root: string): string[] =>
  readFileSync('/proc/self/mounts', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[1] ?? '')
    .filter((path) => path.startsWith(`${root}/`))
    .map((path) => `mount ${path}`)

/** Cgroups of ours that hold nobody: one in use is either seen as a process above or belongs to the user's own Pyro. */
const cgroups = (): string[] =>
  globSync(['/sys/fs/cgroup/{pyro,*/pyro,*/*/pyro}*', '/sys/fs/cgroup/{pyro,*/pyro,*/*/pyro}/*'])
    .filter((path) => attempt(() => readFileSync(`${path}/cgroup.procs`, 'utf8').trim() === '', false))
    .map((path) => `cgroup ${path}`)

export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const root = mkdtempSync('/tmp/pt-')
  // Tests act as ordinary users too: they must be able to reach their own folder in here.
  chmodSync(root, 0o711)
  project.provide('pyroTestRoot', root)
  const before = new Set(cgroups())
  return async () => {
    const left = () => [...processes(root), ...mounts(root), ...cgroups().filter((path) => !before.has(path))]
    for (const end = Date.now() + PATIENCE_MS; left().length > 0 && Date.now() < end; ) await sleep(100)
    const leaks = left()
    if (leaks.length === 0) rmSync(root, { recursive: true, force: true, maxRetries: 3 })
    else throw new Error(`left behind by the tests (in ${root}):\n${leaks.join('\n')}`)
  }
}
