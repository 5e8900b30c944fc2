/** Which OCI runtime works here: found by trying, remembered until one of them changes. */
import { accessSync, constants, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import { PyroError } from '../../contract/errors.ts'

const NAMES = ['crun', 'runc']

/** Runtimes on this machine, the preferred first. `PYRO_OCI_RUNTIME` (a name or a path) leaves no choice. */
export function candidates(env: NodeJS.ProcessEnv = process.env): string[] {
  const asked = env['PYRO_OCI_RUNTIME']
  const folders = [...(env['PATH'] ?? '').split(':'), '/usr/local/sbin', '/usr/sbin', '/usr/bin'].filter(
    isAbsolute,
  )
  const find = (name: string) =>
    isAbsolute(name)
      ? [name].filter(executable)
      : folders
          .map((folder) => join(folder, name))
          .filter(executable)
          .slice(0, 1)
  const found = (asked ? [asked] : NAMES).flatMap(find)
  if (found.length > 0) return found
  throw new PyroError(
    'runtime_missing',
    asked ? `PYRO_OCI_RUNTIME=${asked} was not found.` : 'No OCI runtime (runc or crun) was found.',
    {
      hint: 'Install one, e.g. with: sudo apt-get install runc',
    },
  )
}

/**
 * Calls `start` with one runtime after another until one succeeds; the next call begins with that one.
 * @throws the error of the last one tried.
 */
export async function withRuntime<T>(
  cache: string,
  mode: string,
  start: (runtime: string) => Promise<T>,
): Promise<{ runtime: string; result: T }> {
  const all = candidates()
  const file = join(cache, `oci-runtime-${mode}.json`)
  const key = all.map((path) => `${path}@${statSync(path).mtimeMs}`).join(' ')
  const known = remembered(file, key)
  const order = known !== undefined && all.includes(known) ? [known] : all
  let last: unknown
  for (const runtime of order) {
    try {
      const result = await start(runtime)
      if (runtime !== known) remember(file, key, runtime)
      return { runtime, result }
    } catch (error) {
      if (!(error instanceof PyroError) || error.code !== 'runtime_failed') throw error
      last = error
    }
  }
  throw last
}

function remembered(file: string, key: string): string | undefined {
  try {
    const saved = JSON.parse(readFileSync(file, 'utf8')) as { key: string; runtime: string }
    return saved.key === key ? saved.runtime : undefined
  } catch {
    return undefined
  }
}

function remember(file: string, key: string, runtime: string): void {
  mkdirSync(join(file, '..'), { recursive: true })
  const temporary = `${file}.${process.pid}`
  writeFileSync(temporary, JSON.stringify({ key, runtime }))
  renameSync(temporary, file)
}

function executable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
