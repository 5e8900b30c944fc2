/** Which QEMU is here, and what it can do. */
import { execFile } from 'node:child_process'
import { accessSync, constants, realpathSync, statSync } from 'node:fs'
import { isAbsolute, join } from 'node:path'
import { PyroError } from '../../contract/errors.ts'
import type { MachineType } from './command.ts'

export interface Qemu {
  path: string
  /** Changes with the file. */
  fingerprint: string
  version: Version
  machine: MachineType
}
export type Version = readonly [major: number, minor: number]

/** What the descriptor and block options that we use have been tried with. */
const LEAST: Version = [7, 0]
const NAMES = ['qemu-system-x86_64', '/usr/libexec/qemu-kvm']
const TIMEOUT_MS = 10_000
const INSTALL = 'Install it with: sudo apt-get install qemu-system-x86'

const asked = new Map<string, Promise<Pick<Qemu, 'version'> & { machines: string[] }>>()

/**
 * `PYRO_QEMU` names another program than the one on the path, `PYRO_QEMU_MACHINE` another machine than the first that it
 * knows of microvm and q35.
 * @throws tool_missing when there is none, or an older one; not_supported for a machine that it does not know, and on
 * processors that have none of these.
 */
export async function findQemu(
  env: NodeJS.ProcessEnv = process.env,
  arch: string = process.arch,
): Promise<Qemu> {
  if (arch !== 'x64')
    throw new PyroError('not_supported', `QEMU runs machines on x64 alone, and this is ${arch}.`, {
      hint: 'Install Firecracker, which runs them here with KVM, or take a container: --backend oci',
    })
  const path = findProgram(env)
  const { mtimeMs, size, ino } = statSync(path)
  const fingerprint = `${path}@${ino}:${size}:${mtimeMs}`
  let about = asked.get(fingerprint)
  if (about === undefined) {
    about = ask(path)
    asked.set(fingerprint, about)
    about.catch(() => asked.delete(fingerprint))
  }
  const { version, machines } = await about
  if (!atLeast(version, LEAST))
    throw new PyroError(
      'tool_missing',
      `${path} is QEMU ${version.join('.')}; ${LEAST.join('.')} is needed.`,
      {
        hint: INSTALL,
      },
    )
  return { path, fingerprint, version, machine: chooseMachine(machines, env['PYRO_QEMU_MACHINE']) }
}

export function atLeast(version: Version, least: Version): boolean {
  return version[0] > least[0] || (version[0] === least[0] && version[1] >= least[1])
}

function findProgram(env: NodeJS.ProcessEnv): string {
  const named = env['PYRO_QEMU']
  const folders = (env['PATH'] ?? '').split(':').filter(isAbsolute)
  const places = (named ? [named] : NAMES).flatMap((name) =>
    isAbsolute(name) ? [name] : folders.map((folder) => join(folder, name)),
  )
  const found = places.find(executable)
  if (found !== undefined) return realpathSync(found)
  throw new PyroError('tool_missing', named ? `PYRO_QEMU=${named} was not found.` : 'QEMU was not found.', {
    hint: INSTALL,
  })
}

const MACHINES: MachineType[] = ['microvm', 'q35']

export function chooseMachine(known: string[], wanted?: string): MachineType {
  const machine = MACHINES.find((name) => (wanted ? name === wanted : known.includes(name)))
  if (machine !== undefined && known.includes(machine)) return machine
  throw new PyroError(
    'not_supported',
    wanted ? `This QEMU has no machine ${wanted} that we can use.` : 'This QEMU has neither microvm nor q35.',
    { hint: 'PYRO_QEMU_MACHINE is microvm or q35; the QEMU of qemu-system-x86 has both.' },
  )
}

async function ask(path: string): Promise<{ version: Version; machines: string[] }> {
  const [said, listed] = await Promise.all([run(path, '--version'), run(path, '-M', 'help')])
  const [, major, minor] = /version (\d+)\.(\d+)/.exec(said) ?? []
  if (major === undefined)
    throw new PyroError('tool_missing', `${path} does not say that it is QEMU.`, { hint: INSTALL })
  // Each line is a name and words; aliases are lines of their own.
  const machines = listed.split('\n').map((line) => line.split(' ')[0]!)
  return { version: [Number(major), Number(minor)], machines }
}

function run(path: string, ...args: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    execFile(path, args, { timeout: TIMEOUT_MS, maxBuffer: 262_144, env: {} }, (error, stdout) => {
      if (error === null) resolve(stdout)
      else
        reject(
          new PyroError('tool_missing', `${path} cannot be run: ${error.message}`, {
            hint: INSTALL,
            cause: error,
          }),
        )
    })
  })
}

function executable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return statSync(path).isFile()
  } catch {
    return false
  }
}
