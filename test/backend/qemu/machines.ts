/** Real machines for tests: a hand of its own, our kernel, and a first process (guest/main.go) that says what it sees. */
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { qemuBackend, type QemuBackend, type QemuOptions } from '../../../src/backend/qemu/index.ts'
import type { SandboxSpec } from '../../../src/backend/backend.ts'
import { guestImages } from '../../../src/environment/guest.ts'
import { handService, type HandService } from '../../../src/hand/index.ts'
import { ROOT } from '../../support/users.ts'

/** Programs that this machine lacks for them. */
export function missing(): string[] {
  const lacks = ([tool, flag]: string[]) => {
    try {
      execFileSync(tool!, [flag!], { stdio: 'ignore' })
      return false
    } catch {
      return true
    }
  }
  const needed = [
    ['qemu-system-x86_64', '--version'],
    ['go', 'version'],
    ['apt-get', '--version'],
  ]
  return needed.filter(lacks).map(([tool]) => tool!)
}

export interface Place {
  folder: string
  hand: HandService
  images: { kernel: string; initramfs: string; fingerprint: string }
  backend: (options?: Partial<QemuOptions>) => QemuBackend
  spec: (id: string, change?: Partial<SandboxSpec>) => SandboxSpec
}

/** A place for machines, with the files of three disks. */
export async function place(owner: number): Promise<Place> {
  const folder = mkdtempSync(join(tmpdir(), 'm'))
  chmodSync(folder, 0o700)
  const runtimeDir = join(folder, 'run')
  for (const name of ['run', 'home', 'cache']) mkdirSync(join(folder, name), { mode: 0o700 })
  const binary = join(ROOT, 'native/bin/pyro-native')
  const hand = handService({ binary, home: join(folder, 'home'), runtimeDir, onHolder() {} })
  const cache = process.env['PYRO_TEST_CACHE'] ?? join(folder, 'cache')
  const prepared = await guestImages({
    hand: hand.call,
    cache,
    binary: join(ROOT, 'native/bin/pyro-guest'),
  }).ensure()
  const initramfs = join(folder, 'initramfs')
  // Archives may follow one another; of what is in both the later stays.
  writeFileSync(initramfs, Buffer.concat([readFileSync(prepared.initramfs), archive(folder)]), {
    mode: 0o644,
  })
  const images = { ...prepared, initramfs, fingerprint: 'test' }
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

function archive(folder: string): Buffer {
  const init = join(folder, 'init')
  execFileSync('go', ['build', '-o', init, '.'], {
    cwd: join(import.meta.dirname, 'guest'),
    env: { ...process.env, CGO_ENABLED: '0', GOFLAGS: '-buildvcs=false' },
  })
  return Buffer.concat([...entry('init', 0o100755, readFileSync(init)), ...entry('TRAILER!!!', 0)])
}

/** The kernel's initramfs format ("newc"): hexadecimal headers; names and contents padded to four bytes. */
function entry(name: string, mode: number, content = Buffer.alloc(0)): Buffer[] {
  const padded = (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc(-bytes.length & 3)])
  const numbers = [1, mode, 0, 0, 1, 0, content.length, 0, 0, 0, 0, name.length + 1, 0]
  const header = numbers.map((number) => number.toString(16).padStart(8, '0')).join('')
  return [padded(Buffer.from(`070701${header}${name}\0`)), padded(content)]
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
