/** What checks see of this machine. Tests give them another tree of files, and another user. */
import { accessSync, constants, existsSync, readFileSync, readdirSync, statfsSync, statSync } from 'node:fs'
import { userInfo } from 'node:os'
import { isAbsolute, join } from 'node:path'

export interface Host {
  /** Content of a file; null where it is not there or may not be read. */
  read: (path: string) => string | null
  exists: (path: string) => boolean
  list: (path: string) => string[]
  stat: (path: string) => { mode: number; uid: number; gid: number } | null
  /** Whether this process may write it. */
  writable: (path: string) => boolean
  /** Path of a program on PATH or where a system keeps its own. */
  find: (program: string) => string | null
  /** Bytes and files that there is room for; null where that is not known. */
  room: (path: string) => { bytes: number; files: number } | null
  user: { uid: number; name: string; groups: number[] }
  env: Readonly<Record<string, string | undefined>>
  arch: string
  node: string
}

export interface HostOptions {
  /** Where its files lie. Default: /. */
  root?: string
  user?: Host['user']
  env?: Host['env']
  arch?: string
  node?: string
  room?: Host['room']
}

const SYSTEM = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin']

export function hostOf({
  root = '/',
  user,
  env = process.env,
  arch = process.arch,
  node = process.versions.node,
  room,
}: HostOptions = {}): Host {
  const at = (path: string) => join(root, path)
  const or = <T>(otherwise: T, look: () => T): T => {
    try {
      return look()
    } catch {
      return otherwise
    }
  }
  const may = (path: string, how: number) =>
    or(false, () => {
      accessSync(at(path), how)
      return true
    })
  return {
    read: (path) => or(null, () => readFileSync(at(path), 'utf8')),
    exists: (path) => existsSync(at(path)),
    list: (path) => or([], () => readdirSync(at(path))),
    stat: (path) => or(null, () => statSync(at(path))),
    writable: (path) => may(path, constants.W_OK),
    find: (program) =>
      [...(env['PATH'] ?? '').split(':').filter(isAbsolute), ...SYSTEM]
        .map((folder) => join(folder, program))
        .find((path) => may(path, constants.X_OK)) ?? null,
    room:
      room ??
      ((path) =>
        or(null, () => {
          const { bavail, bsize, ffree, files } = statfsSync(at(path))
          // Some file systems count no files.
          return { bytes: bavail * bsize, files: files === 0 ? Number.POSITIVE_INFINITY : ffree }
        })),
    user: user ?? { uid: userInfo().uid, name: userInfo().username, groups: process.getgroups?.() ?? [] },
    env,
    arch,
    node,
  }
}
