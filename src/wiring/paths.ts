/** Where the state of one PYRO_HOME lies. The only place that knows these names; pure but for one realpath. */
import { createHash } from 'node:crypto'
import { realpathSync } from 'node:fs'
import { homedir, userInfo } from 'node:os'
import { dirname, basename, join, resolve } from 'node:path'

export interface Paths {
  /** PYRO_HOME: database, workspaces, logs. */
  home: string
  /** PYRO_CACHE: environments and what else can be built again. */
  cache: string
  /** Sockets, in a folder of mode 0700 whose name carries a hash of the home, so that names stay short. */
  runtimeDir: string
  socket: string
  log: string
  /** Written by an engine that could not start, for the client that started it. */
  startupError: string
}

export function resolvePaths(env: NodeJS.ProcessEnv = process.env): Paths {
  const user = () => env['HOME'] || homedir()
  const home = real(
    resolve(env['PYRO_HOME'] || join(env['XDG_STATE_HOME'] || join(user(), '.local/state'), 'pyro')),
  )
  const cache = resolve(env['PYRO_CACHE'] || join(env['XDG_CACHE_HOME'] || join(user(), '.cache'), 'pyro'))
  const base = env['XDG_RUNTIME_DIR'] || `/tmp/pyro-${userInfo().uid}`
  const hash = createHash('sha256').update(home).digest('hex').slice(0, 12)
  const runtimeDir = join(base, `pyro-${hash}`)
  return {
    home,
    cache,
    runtimeDir,
    socket: join(runtimeDir, 'engine.sock'),
    log: join(home, 'engine.log'),
    startupError: join(home, 'engine-error.json'),
  }
}

/** The real path of a folder that may not exist: two spellings of one home must find one engine. */
function real(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    const parent = dirname(path)
    return parent === path ? path : join(real(parent), basename(path))
  }
}
