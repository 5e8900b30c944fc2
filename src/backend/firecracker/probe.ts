/** Which Firecracker and which jailer are here, and what version they are. */
import { execFile } from 'node:child_process'
import { accessSync, constants, realpathSync, statSync } from 'node:fs'
import { dirname, isAbsolute, join } from 'node:path'
import { PyroError } from '../../contract/errors.ts'

export type Version = readonly [major: number, minor: number, patch: number]

/** The first with ACPI, by which Debian's kernels find their devices. */
export const LEAST_TO_BOOT: Version = [1, 8, 0]
/** Restores of 1.16.0 silence the guest's vsock. */
export const LEAST_FOR_SNAPSHOTS: Version = [1, 16, 1]

const TIMEOUT_MS = 5_000
const INSTALL =
  'Install Firecracker from its releases, or say where it is with PYRO_FIRECRACKER=/path/to/firecracker.'

export interface Found {
  /** Real path: the jailer calls a jail's folder after the last part of it. */
  firecracker: string
  version: Version
  /** Beside the binary, or PYRO_JAILER. */
  jailer: string | null
}

const versions = new Map<string, Promise<Version>>()

/** @throws tool_missing when there is none, or an older one than can boot our guest. */
export async function findFirecracker(env: NodeJS.ProcessEnv = process.env): Promise<Found> {
  const named = env['PYRO_FIRECRACKER']
  const folders = (env['PATH'] ?? '').split(':').filter(isAbsolute)
  const places = named ? [named] : folders.map((folder) => join(folder, 'firecracker'))
  const path = places.find(executable)
  if (path === undefined || !isAbsolute(path))
    throw new PyroError(
      'tool_missing',
      named ? `PYRO_FIRECRACKER=${named} is no program's absolute path.` : 'Firecracker was not found.',
      { hint: INSTALL },
    )
  const firecracker = realpathSync(path)
  const version = await versionOf(firecracker)
  if (!atLeast(version, LEAST_TO_BOOT))
    throw new PyroError(
      'tool_missing',
      `Firecracker ${version.join('.')} (${firecracker}) is older than ${LEAST_TO_BOOT.join('.')}.`,
      { hint: INSTALL },
    )
  const jailers = env['PYRO_JAILER'] ? [env['PYRO_JAILER']] : jailersBeside(path, firecracker)
  const jailer = jailers.find(executable)
  return { firecracker, version, jailer: jailer === undefined ? null : realpathSync(jailer) }
}

export function atLeast(version: Version, least: Version): boolean {
  for (const [at, number] of least.entries()) if (version[at] !== number) return version[at]! > number
  return true
}

/** Releases name their files by version and machine, as in firecracker-v1.16.1-x86_64. */
function jailersBeside(...binaries: string[]): string[] {
  return binaries
    .flatMap((binary) => {
      const name = binary.slice(dirname(binary).length + 1)
      return [join(dirname(binary), name.replace('firecracker', 'jailer')), join(dirname(binary), 'jailer')]
    })
    .filter((path) => !binaries.includes(path))
}

/** Asks the program once for each state of its file. */
export function versionOf(path: string): Promise<Version> {
  const { mtimeMs, size, ino } = statSync(path)
  const key = `${path}@${ino}:${size}:${mtimeMs}`
  let known = versions.get(key)
  if (known === undefined) {
    known = ask(path)
    versions.set(key, known)
    known.catch(() => versions.delete(key))
  }
  return known
}

function ask(path: string): Promise<Version> {
  return new Promise((resolve, reject) => {
    const options = { timeout: TIMEOUT_MS, maxBuffer: 65_536, env: {} }
    execFile(path, ['--version'], options, (error, stdout) => {
      const [, major, minor, patch] = /^Firecracker v(\d+)\.(\d+)\.(\d+)/.exec(stdout) ?? []
      if (major !== undefined) resolve([Number(major), Number(minor), Number(patch)])
      else {
        const message = `${path} --version did not say what version of Firecracker it is.`
        reject(new PyroError('tool_missing', message, { hint: INSTALL, cause: error }))
      }
    })
  })
}

export function jailerMissing(firecracker: string): PyroError {
  return new PyroError(
    'tool_missing',
    `No jailer was found beside ${firecracker}; as root a machine runs in none but a jail.`,
    {
      hint: 'Put the jailer of the same release there, or say where it is with PYRO_JAILER=/path/to/jailer.',
    },
  )
}

function executable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}
