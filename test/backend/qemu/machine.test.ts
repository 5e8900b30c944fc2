/** Real machines, emulated: what they are given, who they run as, what outlives whom and that nothing is left. */
import { existsSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { isAlive } from '../../../src/backend/process.ts'
import { openQmp } from '../../../src/backend/qemu/qmp.ts'
import { findQemu } from '../../../src/backend/qemu/probe.ts'
import { tryMachine } from '../../../src/backend/qemu/trial.ts'
import type { SandboxRecord } from '../../../src/store/workspaces.ts'
import { cgroupsOf } from '../../support/leaks.ts'
import { isRoot } from '../../support/users.ts'
import { ask, missing, type Place, place } from './machines.ts'

const OWNER = isRoot ? 1_879_048_192 + 65_536 * 7 : 5

const status = (pid: number | string): Record<string, string> =>
  Object.fromEntries(
    readFileSync(`/proc/${pid}/status`, 'utf8')
      .split('\n')
      .map((line) => line.split(/:\s*/) as [string, string]),
  )
const children = (pid: number): number[] =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ').filter(Boolean).map(Number)

async function until(done: () => boolean, boundMs = 10_000): Promise<void> {
  for (const end = Date.now() + boundMs; !done(); await sleep(10))
    if (Date.now() > end) throw new Error('it did not happen')
}

const lacking = missing()
if (lacking.length > 0) test.skip(`machines need ${lacking.join(', ')}`, () => {})
describe.skipIf(lacking.length > 0)('machines', () => {
  let here: Place
  // The first one on a host downloads the kernel.
  beforeAll(async () => {
    here = await place(OWNER)
  }, 300_000)
  afterAll(async () => {
    await here.hand.close(true)
    rmSync(here.folder, { recursive: true, force: true })
  })

  const leftOf = (id: string) => [
    ...readdirSync(join(here.folder, 'run')).filter((name) => name.startsWith(id)),
    ...cgroupsOf(id),
  ]

  test('a machine has what it was given, as nobody, and all of it goes', async () => {
    const backend = here.backend()
    const record = await backend.start(here.spec('one'))
    expect(record.runtime).toMatch(/qemu-system-x86_64$/)
    expect(backend.find(record)).toBe(true)
    const port = await backend.connect('one', 'control')
    const report = JSON.parse(await ask(port, 'report'))
    expect(report).toMatchObject({
      cpus: 1,
      ports: ['pyro.control', 'pyro.bulk', 'pyro.network'],
      links: ['lo'],
      rng: 'virtio_rng.0',
    })
    expect(report.line).toContain('pyro.mode=run pyro.env=serial:env pyro.base=serial:base')
    expect(report.slept).toBeLessThan(1000)
    expect(
      report.disks.sort((a: { serial: string }, b: { serial: string }) => a.serial.localeCompare(b.serial)),
    ).toEqual([
      { serial: 'base', read_only: true, sectors: '4096', start: 'base starts', wrote: false },
      { serial: 'changes', read_only: false, sectors: '6144', start: 'changes starts', wrote: true },
      { serial: 'env', read_only: true, sectors: '2048', start: 'env starts', wrote: false },
    ])
    expect(readFileSync(join(here.folder, 'changes')).toString('latin1', 4096, 4110)).toBe('from the guest')
    const [qemu] = children(record.pid)
    for (const pid of [record.pid, qemu!]) {
      const { Uid, Gid, Groups, NoNewPrivs, ...rest } = status(pid)
      expect([Groups, NoNewPrivs]).toEqual(['', '1'])
      if (isRoot) expect([Uid, Gid]).toEqual(Array(2).fill(Array(4).fill(OWNER).join('\t')))
      for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) expect(Number(rest[set])).toBe(0)
    }
    // Its own filter of system calls.
    expect(status(qemu!)['Seccomp']).toBe('2')
    for (const name of ['bulk', 'network'] as const) {
      const other = await backend.connect('one', name)
      expect(await ask(other, 'hello')).toBe('echo hello')
      other.destroy()
    }
    await backend.stop('one', record)
    expect([backend.find(record), existsSync(`/proc/${qemu}`), leftOf('one')]).toEqual([false, false, []])
    await backend.stop('one', record)
    await backend.stop('one', null)
    port.destroy()
  })

  test('an engine that dies leaves its machines, and the next finds them, recorded or not', async () => {
    const record = await here.backend().start(here.spec('two'))
    const first = await here.backend().connect('two', 'control')
    expect(await ask(first, 'before')).toBe('echo before')
    // The hand ends with its engine.
    await here.hand.close(false)
    first.destroy()
    const backend = here.backend()
    expect(backend.find(record)).toBe(true)
    const second = await backend.connect('two', 'control')
    expect(await ask(second, 'after')).toContain('after')
    await expect(backend.start(here.spec('two'))).rejects.toThrow('runs already')
    expect(backend.find(record)).toBe(true)
    await backend.stop('two', null)
    expect([isAlive(record), leftOf('two')]).toEqual([false, []])
    second.destroy()
  })

  test.each(['off', 'restart', 'panic'])('a guest that goes (%s) takes its machine along', async (how) => {
    const backend = here.backend()
    const record = await backend.start(here.spec('three'))
    const port = await backend.connect('three', 'network')
    await ask(port, 'there')
    port.write(`${how}\n`)
    await until(() => !backend.find(record))
    await backend.stop('three', record)
    expect(leftOf('three')).toEqual([])
    port.destroy()
  })

  test('a machine that is only looked at cannot be written', async () => {
    const backend = here.backend()
    const spec = here.spec('four')
    if (spec.medium.kind === 'disk') {
      spec.medium.inspect = true
      spec.medium.disks = spec.medium.disks.map((disk) => ({ ...disk, readOnly: true }))
    }
    const record = await backend.start(spec)
    const port = await backend.connect('four', 'bulk')
    const { disks, line } = JSON.parse(await ask(port, 'report'))
    expect(disks.map((disk: { wrote: boolean }) => disk.wrote)).toEqual([false, false, false])
    expect(line).toContain('pyro.mode=inspect')
    await backend.stop('four', record)
    port.destroy()
  })

  test('two machines never have one writable disk, and the loser leaves nothing', async () => {
    const backend = here.backend()
    const record = await backend.start(here.spec('five'))
    await expect(backend.start(here.spec('six'))).rejects.toMatchObject({
      code: 'machine_failed',
      message: expect.stringMatching(/lock/),
      retryable: true,
    })
    expect(leftOf('six')).toEqual([])
    const { sockets } = { sockets: join(here.folder, 'run', 'five.qmp.sock') }
    const monitor = await openQmp(sockets)
    expect(await monitor.execute('query-status')).toEqual({ running: true, status: 'running' })
    await monitor.execute('stop')
    expect(await monitor.execute('query-status')).toMatchObject({ running: false, status: 'paused' })
    await monitor.execute('cont')
    expect(await monitor.execute('query-kvm')).toMatchObject({ enabled: false })
    await monitor.execute('quit')
    monitor.close()
    await until(() => !backend.find(record))
    await backend.stop('five', record)
  })

  test('q35 is the same machine on another bus', async () => {
    process.env['PYRO_QEMU_MACHINE'] = 'q35'
    try {
      const backend = here.backend()
      const limits = { ...here.spec('seven').limits, vcpu_count: 2 }
      const record = await backend.start(here.spec('seven', { limits }))
      const port = await backend.connect('seven', 'control')
      const { cpus, disks, links, slept } = JSON.parse(await ask(port, 'report'))
      expect([cpus, disks.length, links]).toEqual([2, 3, ['lo']])
      expect(slept).toBeLessThan(1000)
      await backend.stop('seven', record)
      port.destroy()
    } finally {
      delete process.env['PYRO_QEMU_MACHINE']
    }
  })

  test('an accelerator is tried with a real kernel', async () => {
    const { khz } = await here.hand.call('tsc', {})
    const trial = {
      hand: here.hand.call,
      qemu: await findQemu(),
      access: { groups: [], keepGroups: false },
      kernel: here.images.kernel,
      folder: join(here.folder, 'run'),
      owner: { uid: OWNER, gid: OWNER },
      boundMs: 25_000,
    }
    expect(await tryMachine({ ...trial, accel: { kind: 'tcg', tscKHz: khz } })).toBeNull()
    const noKernel = { ...trial, kernel: join(here.folder, 'env') }
    expect(await tryMachine({ ...noKernel, accel: { kind: 'tcg', tscKHz: khz } })).toMatch(/trial machine/)
    expect(leftOf('trial')).toEqual([])
  })

  test('a QEMU that refuses its arguments says why', async () => {
    const broken: Partial<SandboxRecord> = await here
      .backend({
        guestImages: { ensure: async () => ({ ...here.images, kernel: join(here.folder, 'none') }) },
      })
      .start(here.spec('eight'))
      .catch((error) => error)
    expect(broken).toMatchObject({ code: 'io_error', message: expect.stringContaining('none') })
    expect(leftOf('eight')).toEqual([])
  })
})
