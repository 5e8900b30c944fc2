/** A real machine without an engine: our kernel and init under QEMU, with a root of a few programs of this machine. */
import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { connect, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import type { DiskMedium, SandboxSpec } from '../../src/backend/backend.ts'
import { qemuBackend } from '../../src/backend/qemu/index.ts'
import { type Guest, guest } from '../../src/channel/guest.ts'
import { guestImages } from '../../src/environment/guest.ts'
import type { SandboxRecord } from '../../src/store/workspaces.ts'
import { resolvePaths } from '../../src/wiring/paths.ts'
import { testHand } from './hand.ts'
import { ROOT } from './users.ts'

const PROGRAMS = [
  'sh',
  'cat',
  'dd',
  'head',
  'hostname',
  'id',
  'ln',
  'mkdir',
  'mv',
  'rm',
  'sleep',
  'stat',
  'touch',
  'yes',
]
const TOOLS = [
  '/usr/bin/qemu-system-x86_64',
  '/usr/bin/mkfs.erofs',
  '/usr/sbin/mkfs.ext4',
  '/usr/bin/apt-get',
]
/** More than any baseline of these tests; the guest must not mind a disk that is longer than its content. */
const PLACEHOLDER = 1024 ** 4

/** Why there can be no machine here; null where there can. */
export function noMachines(): string | null {
  const missing = TOOLS.filter((path) => !existsSync(path))
  if (missing.length > 0) return `not installed: ${missing.join(', ')}`
  return process.arch === 'x64' ? null : `no machine was tried on ${process.arch}`
}

export interface Machine {
  spec: SandboxSpec
  medium: DiskMedium
  record: SandboxRecord
  /** A new channel, as another engine would have; the caller closes it. */
  channel: () => Guest
  /** The control port as bytes, without sessions. */
  port: () => Socket
  isAlive: () => boolean
  console: () => string
  end: () => Promise<void>
}

export interface Machines {
  folder: string
  /** Starts one over new disks, or over those of another. */
  start: (options?: {
    over?: Machine
    inspect?: boolean
    pids?: number
    limits?: Partial<SandboxSpec['limits']>
  }) => Promise<Machine>
  /** Makes a tree the baseline of a machine that may run already. */
  seal: (machine: Machine, tree: string) => Promise<void>
  close: () => Promise<void>
}

/** `init` is the program that the machines run; ours where none is given. */
export async function machines(init = join(ROOT, 'native/bin/pyro-guest')): Promise<Machines> {
  const folder = mkdtempSync(join(tmpdir(), 'm-'))
  const hand = testHand(folder)
  const runtimeDir = join(folder, 'run')
  const cache = process.env['PYRO_TEST_CACHE'] ?? resolvePaths().cache
  const images = guestImages({ hand: hand.call, cache, binary: init })
  await images.ensure()
  const { mode } = await hand.info()
  const id = { root: 1_879_048_192, user: 1 }[mode]
  const owner = { uid: id, gid: id }
  const env = join(folder, 'env.erofs')
  await hand.call('erofs', { source: environment(join(folder, 'env')), output: env, ids: null })
  const backend = qemuBackend({ hand, guestImages: images, runtimeDir, cache, accel: 'tcg' })
  const alive = new Set<Machine>()
  // Control groups are the whole machine's: names of two at a time must differ.
  const series = randomBytes(3).toString('hex')
  let count = 0

  async function disks(dir: string): Promise<DiskMedium['disks']> {
    const [base, changes] = [join(dir, 'base'), join(dir, 'changes')]
    await hand.call('image_placeholder', { output: base, size: PLACEHOLDER, owner })
    await hand.call('image_create', { output: changes, size_mib: 512, owner })
    return [
      { name: 'env', path: env, readOnly: true },
      { name: 'base', path: base, readOnly: true },
      { name: 'changes', path: changes, readOnly: false },
    ]
  }

  return {
    folder,
    async start({ over, inspect = false, pids = 200, limits: asked = {} } = {}) {
      const name = `m${series}${count++}`
      const dir = join(folder, name)
      mkdirSync(dir, { mode: 0o700 })
      const limits = {
        enforcement: 'full' as const,
        vcpu_count: 1,
        mem_mib: 256,
        pids_limit: pids,
        disk_mib: 512,
        notes: [],
        ...asked,
      }
      const medium: DiskMedium = {
        kind: 'disk',
        disks: over?.medium.disks ?? (await disks(dir)),
        owner,
        inspect,
      }
      const spec: SandboxSpec = { id: name, hostname: name, dir, limits, medium }
      const record = await backend.start(spec)
      const machine: Machine = {
        spec,
        medium,
        record,
        channel: () => guest((use) => backend.connect(name, use)),
        port: () => connect(join(runtimeDir, `${name}.control.sock`)),
        isAlive: () => backend.find(record),
        console: () => readFileSync(join(dir, 'console.log'), 'utf8'),
        async end() {
          alive.delete(machine)
          await backend.stop(name, record)
        },
      }
      alive.add(machine)
      return machine
    },
    async seal({ medium }, tree) {
      const output = medium.disks.find(({ name }) => name === 'base')!.path
      await hand.call('image_seal', { source: tree, output, ids: null, keep_size: true, owner })
    },
    async close() {
      for (const machine of [...alive]) await machine.end()
      await hand.close(true)
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

/** Programs and the libraries that they need, at the same paths. */
function environment(root: string): string {
  for (const dir of ['bin', 'dev', 'etc', 'proc', 'root', 'run', 'sys', 'tmp', 'usr/bin', 'workspace'])
    mkdirSync(join(root, dir), { recursive: true })
  const take = (from: string, to: string) => {
    mkdirSync(dirname(join(root, to)), { recursive: true })
    cpSync(realpathSync(from), join(root, to))
  }
  for (const program of PROGRAMS) {
    const path = execFileSync('/bin/sh', ['-c', `command -v ${program}`], { encoding: 'utf8' }).trim()
    take(path, `bin/${program}`)
    const needed = execFileSync('ldd', [path], { encoding: 'utf8' }).match(/\/\S+/g) ?? []
    for (const library of needed) if (!existsSync(join(root, library))) take(library, library)
  }
  symlinkSync('../bin/sh', join(root, 'usr/bin/sh'))
  writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0:root:/root:/bin/sh\npyro:x:1000:1000::/tmp:/bin/sh\n')
  writeFileSync(join(root, 'etc/group'), 'root:x:0:\npyro:x:1000:\n')
  writeFileSync(join(root, 'etc/machine-id'), '')
  return root
}
