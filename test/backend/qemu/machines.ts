/**
 * Real machines for tests: a hand of its own, our kernel, and a first process (guest/main.go) that says what it sees.
 * `PYRO_TEST_KERNEL` is an uncompressed kernel, `PYRO_TEST_MODULES` its folder of modules (lib/modules/VERSION).
 */
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, globSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import type { Duplex } from 'node:stream'
import { qemuBackend, type QemuBackend, type QemuOptions } from '../../../src/backend/qemu/index.ts'
import type { SandboxSpec } from '../../../src/backend/backend.ts'
import { handService, type HandService } from '../../../src/hand/index.ts'
import { ROOT } from '../../support/users.ts'

const kernel = process.env['PYRO_TEST_KERNEL'] ?? ''
const modules = process.env['PYRO_TEST_MODULES'] ?? ''

/** Why there can be no machines here; null where there can. */
export function missing(): string | null {
  if (!existsSync(kernel) || !existsSync(modules))
    return 'PYRO_TEST_KERNEL and PYRO_TEST_MODULES name no kernel'
  for (const [tool, flag] of [
    ['qemu-system-x86_64', '--version'],
    ['go', 'version'],
  ] as const) {
    try {
      execFileSync(tool, [flag], { stdio: 'ignore' })
    } catch {
      return `${tool} is not installed`
    }
  }
  return null
}

export interface Place {
  folder: string
  hand: HandService
  images: { kernel: string; initramfs: string; fingerprint: string }
  backend: (options?: Partial<QemuOptions>) => QemuBackend
  spec: (id: string, change?: Partial<SandboxSpec>) => SandboxSpec
}

/** A place for machines, with the files of three disks. */
export function place(owner: number): Place {
  const folder = mkdtempSync(join(tmpdir(), 'm'))
  chmodSync(folder, 0o700)
  const runtimeDir = join(folder, 'run')
  for (const name of ['run', 'home', 'cache']) mkdirSync(join(folder, name), { mode: 0o700 })
  const initramfs = join(folder, 'initramfs')
  writeFileSync(initramfs, pack(folder), { mode: 0o644 })
  const images = { kernel, initramfs, fingerprint: 'test' }
  const options = { binary: join(ROOT, 'native/bin/pyro-native'), home: join(folder, 'home'), runtimeDir }
  const hand = handService({ ...options, onHolder() {} })
  const disks = (['env', 'base', 'changes'] as const).map((name, index) => {
    const path = join(folder, name)
    const content = Buffer.alloc((index + 1) * 1_048_576)
    content.write(`${name} starts`)
    writeFileSync(path, content, { mode: 0o600 })
    return { name, path, readOnly: name !== 'changes' }
  })
  return {
    folder,
    hand,
    images,
    backend: (change = {}) =>
      qemuBackend({
        hand,
        guestImages: { ensure: async () => images },
        runtimeDir,
        cache: join(folder, 'cache'),
        accel: 'tcg',
        openSession: (socket) => socket,
        ...change,
      }),
    spec: (id, change = {}) => ({
      id,
      hostname: id,
      dir: join(folder, 'home', id),
      limits: { enforcement: 'full', vcpu_count: 1, mem_mib: 192, pids_limit: 64, disk_mib: 3, notes: [] },
      medium: { kind: 'disk', disks, owner: { uid: owner, gid: owner }, inspect: false },
      ...change,
    }),
  }
}

const NEEDED = [
  'virtio_ring',
  'virtio',
  'virtio_mmio',
  'virtio_pci_legacy_dev',
  'virtio_pci_modern_dev',
  'virtio_pci',
  'virtio_blk',
  'virtio_console',
  'virtio-rng',
]

function pack(folder: string): Buffer {
  const init = join(folder, 'init')
  execFileSync('go', ['build', '-o', init, '.'], {
    cwd: join(import.meta.dirname, 'guest'),
    env: { ...process.env, CGO_ENABLED: '0', GOFLAGS: '-buildvcs=false' },
  })
  const found = new Map(globSync(join(modules, '**/virtio*.ko')).map((path) => [basename(path, '.ko'), path]))
  const files = NEEDED.map((name) => ({
    name: `modules/${name}.ko`,
    content: readFileSync(found.get(name)!),
  }))
  return cpio([
    ...['proc', 'sys', 'dev', 'modules'].map((name) => ({ name, content: null })),
    { name: 'init', content: readFileSync(init) },
    ...files,
    { name: 'modules/order', content: Buffer.from(NEEDED.map((name) => `${name}.ko`).join('\n')) },
  ])
}

/** The kernel's initramfs format ("newc"): hexadecimal headers; names and contents padded to four bytes. */
function cpio(entries: { name: string; content: Buffer | null }[]): Buffer {
  const padded = (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)])
  const one = (name: string, mode: number, content: Buffer, inode: number) => {
    const numbers = [inode, mode, 0, 0, 1, 0, content.length, 0, 0, 0, 0, name.length + 1, 0]
    const header = numbers.map((number) => number.toString(16).padStart(8, '0')).join('')
    return [padded(Buffer.from(`070701${header}${name}\0`)), padded(content)]
  }
  const parts = entries.flatMap(({ name, content }, index) =>
    one(name, content === null ? 0o040755 : 0o100755, content ?? Buffer.alloc(0), index + 1),
  )
  return Buffer.concat([...parts, ...one('TRAILER!!!', 0, Buffer.alloc(0), 0)])
}

/** Asks a port of the machine a line and waits for one, however long its start takes. */
export async function ask(port: Duplex, line: string, boundMs = 20_000): Promise<string> {
  port.write(`${line}\n`)
  let said = ''
  const timer = setTimeout(() => port.destroy(new Error(`no answer to ${line}`)), boundMs)
  try {
    for await (const bytes of port.iterator({ destroyOnReturn: false })) {
      said += bytes
      if (said.includes('\n')) return said.slice(0, said.indexOf('\n'))
    }
    throw new Error(`the port closed after ${JSON.stringify(said)}`)
  } finally {
    clearTimeout(timer)
  }
}
