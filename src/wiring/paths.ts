/** Where the state of one PYRO_HOME lies. The only place that knows these names; pure but for one realpath. */
import { realpathSync } from 'node:fs'
import { homedir } from 'node:os'
import { dirname, basename, join, resolve } from 'node:path'

export interface Paths {
  /** PYRO_HOME: database, workspaces, logs. */
  home: string
  /** PYRO_CACHE: environments and what else can be built again. */
  cache: string
  /** Sockets, in a folder of mode 0700. It depends on the home alone, so that every client finds the same engine. */
  runtimeDir: string
  socket: string
  /** What the homes of root have in common on this machine. */
  shared: string
  log: string
  /** Written by an engine that could not start, for the client that started it. */
  startupError: string
}

export function resolvePaths(env: Readonly<Record<string, string | undefined>> = process.env): Paths {
  const user = () => env['HOME'] || homedir()
  const home = real(
    resolve(env['PYRO_HOME'] || join(env['XDG_STATE_HOME'] || join(user(), '.local/state'), 'pyro')),
  )
  const cache = resolve(env['PYRO_CACHE'] || join(env['XDG_CACHE_HOME'] || join(user(), '.cache'), 'pyro'))
  const runtimeDir = socketFolder(home)
  return {
    home,
    cache,
    runtimeDir,
    socket: join(runtimeDir, 'engine.sock'),
    shared: resolve(env['PYRO_SHARED'] || '/var/lib/pyro'),
    log: join(home, 'engine.log'),
    startupError: join(home, 'engine-error.json'),
  }
}

/** A socket's whole path has to stay below the kernel's 108 bytes; the longest name here is a sandbox's. */
const LONGEST_SOCKET = '/ws-0123456789.sock'
const MAX_SOCKET_PATH = 104

function socketFolder(home: string): string {
  const own = join(home, 'run')
  if (Buffer.byteLength(own + LONGEST_SOCKET) <= MAX_SOCKET_PATH) return own
  return join(`/tmp/pyro-${process.geteuid?.() ?? 0}`, `pyro-${fingerprint(home)}`)
}

/**
 * FNV-1a of two different beginnings, 64 bits in all. It keeps a user's own homes apart and is no defence; loading a
 * cryptographic hash would be a fifth of a command's start.
 */
function fingerprint(text: string): string {
  const hash = (seed: number) => {
    let value = seed
    for (const byte of Buffer.from(text)) value = Math.imul(value ^ byte, 0x01000193)
    return (value >>> 0).toString(16).padStart(8, '0')
  }
  return hash(0x811c9dc5) + hash(0x9747b28c)
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
