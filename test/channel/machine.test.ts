/** The agent of a real machine, over the channel as an engine has it. */
import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Guest } from '../../src/channel/guest.ts'
import { type Machine, type Machines, machines, noMachines } from '../support/machine.ts'

const reason = noMachines()
/** Emulated, on a host that does other things too. */
const BOOT_MS = 60_000
const MIB = 1_048_576

let all: Machines
let jobs = 0

async function run(guest: Guest, line: string, user = '') {
  const spec = {
    id: `j${jobs++}`,
    argv: ['sh', '-c', line],
    cwd: '/',
    env: {},
    user,
    timeout_ms: 0,
    stdin: 'none' as const,
    spool_bytes: 32 * MIB,
    attach: false,
  }
  const status = await guest.start(spec, 60_000, 65_536)
  const text = (part?: string) => Buffer.from(part ?? '', 'base64').toString()
  return {
    id: spec.id,
    code: status.exit_code,
    out: text(status.inline?.stdout),
    err: text(status.inline?.stderr),
  }
}

async function whole(body: Readable): Promise<Buffer> {
  const parts: Buffer[] = []
  for await (const part of body as AsyncIterable<Buffer>) parts.push(part)
  return Buffer.concat(parts)
}

/** Names of a tar's entries, those of its extended headers left out. */
function names(tar: Buffer): string[] {
  const found: string[] = []
  for (let at = 0; at + 512 <= tar.length && tar[at] !== 0; ) {
    const field = (from: number, length: number) =>
      tar.toString('latin1', at + from, at + from + length).replace(/\0.*$/s, '')
    if (!'xg'.includes(field(156, 1))) found.push(field(0, 100))
    at += 512 + Math.ceil(Number.parseInt(field(124, 12), 8) / 512) * 512
  }
  return found.sort()
}

async function gone(machine: Machine): Promise<void> {
  await expect.poll(machine.isAlive, { timeout: 20_000 }).toBe(false)
}

describe.skipIf(reason !== null)(`a machine${reason === null ? '' : ` (not run: ${reason})`}`, () => {
  let machine: Machine
  let guest: Guest

  beforeAll(async () => {
    all = await machines()
    machine = await all.start()
    guest = machine.channel()
    await guest.hello(BOOT_MS)
  }, 180_000)
  afterAll(async () => {
    guest?.close()
    await all?.close()
  }, 60_000)

  test('serves before it has a /workspace, and then has one', async () => {
    await expect(guest.changes(10)).rejects.toMatchObject({ reason: 'wrong_state' })
    await expect(guest.tree('.')).rejects.toMatchObject({ reason: 'wrong_state' })
    const seed = join(all.folder, 'seed')
    mkdirSync(join(seed, 'sub'), { recursive: true })
    writeFileSync(join(seed, 'kept'), 'kept')
    writeFileSync(join(seed, 'changed'), 'before')
    writeFileSync(join(seed, 'sub/gone'), 'gone')
    symlinkSync('kept', join(seed, 'link'))
    await all.seal(machine, seed)
    await guest.mountWorkspace(true)
    await guest.mountWorkspace(true)
    expect((await run(guest, 'cat /workspace/kept /workspace/link')).out).toBe('keptkept')
  })

  test('is a whole system to what runs in it', async () => {
    const { out, err, code } = await run(
      guest,
      `set -e
       echo "$$ $(cat /proc/1/comm)"; test -c /dev/ptmx; test -d /dev/pts; echo x >/dev/shm/x; echo x >/tmp/x
       test -d /dev/mqueue; cat </dev/null >/dev/null; test -w /dev/stdout; head -c 4 /dev/urandom >/dev/null
       cat /proc/self/cgroup; cat /sys/fs/cgroup/jobs/pids.max; cat /sys/class/net/lo/flags; test ! -e /mnt/changes
       cat /proc/mounts`,
    )
    expect(err).toBe('')
    expect(code).toBe(0)
    expect(out).toMatch(/\n0::\/jobs\n200\n0x9\n/)
    expect(out).toMatch(/overlay \/ overlay rw,nodev,.*userxattr/)
    expect(out).toMatch(/overlay \/workspace overlay rw,nosuid,nodev,.*userxattr/)
    expect((await run(guest, 'id', 'pyro')).out).toMatch(/^uid=1000\(pyro\)/)
  })

  test('is told who it is, late and again', async () => {
    const as = (name: string, id: string, now_ms: number) =>
      guest.identify({
        hostname: name,
        machine_id: id.repeat(32),
        now_ms,
        entropy: Buffer.alloc(64, 7).toString('base64'),
      })
    await as('first', 'a', 1_000_000_000_000)
    await as('second', 'b', 2_000_000_000_000)
    expect((await run(guest, 'hostname; cat /etc/machine-id')).out).toBe(`second\n${'b'.repeat(32)}\n`)
    expect((await run(guest, 'echo x >/tmp/now; stat -c %Y /tmp/now')).out).toMatch(/^20000000\d\d\n/)
    await guest.identify({ hostname: 'm', machine_id: 'c'.repeat(32), now_ms: Date.now(), entropy: '' })
    await expect(as('a b', 'a', 0)).rejects.toMatchObject({ code: 'invalid_input' })
  })

  test('tells what changed, and gives it out', async () => {
    const made = await run(
      guest,
      'cd /workspace; printf after >changed; rm sub/gone; mkdir new; printf 1 >new/one; ln -s /etc/passwd out; ln new/one new/two',
    )
    expect(made).toMatchObject({ code: 0, err: '' })
    const { entries, ...counts } = await guest.changes(100)
    expect(counts).toEqual({ added: 4, modified: 1, deleted: 1, truncated: false })
    expect(entries.map(({ path, change }) => `${change} ${path}`)).toEqual([
      'modified changed',
      'added new',
      'added new/one',
      'added new/two',
      'added out',
      'deleted sub/gone',
    ])
    expect(names(await whole(await guest.tree('.')))).toEqual([
      './',
      'changed',
      'kept',
      'link',
      'new/',
      'new/one',
      'new/two',
      'out',
      'sub/',
    ])
    expect(names(await whole(await guest.tree('new/one')))).toEqual(['one'])
    const refusals: [string, string][] = [
      ['none', 'path_not_found'],
      ['out', 'link_leaves'],
      ['../etc', 'bad_path'],
      ['/etc', 'bad_path'],
    ]
    for (const [path, said] of refusals)
      await expect(guest.tree(path)).rejects.toMatchObject({ reason: said })
  })

  test('goes on with another engine when one dies in the middle of a tree', async () => {
    await run(guest, 'head -c 64000000 /dev/zero >/workspace/large')
    // A port has one host at a time.
    guest.close()
    for (let round = 0; round < 3; round++) {
      const doomed = machine.channel()
      const body = await doomed.tree('large')
      body.on('error', () => {})
      await new Promise((seen) => body.once('data', seen))
      doomed.close()
      body.destroy()
      const next = machine.channel()
      const before = Date.now()
      const tar = await whole(await next.tree('large'))
      expect(tar.length).toBeGreaterThan(64_000_000)
      // The port is free as soon as the guest has noticed: nothing waits for a time-out.
      expect(Date.now() - before).toBeLessThan(15_000)
      next.close()
    }
    guest = machine.channel()
    expect((await run(guest, 'rm /workspace/large; echo ok')).out).toBe('ok\n')
  }, 60_000)

  test('a reader that stalls holds up nobody but itself', async () => {
    await run(guest, 'head -c 64000000 /dev/zero >/workspace/large')
    const body = await guest.tree('large')
    await sleep(500)
    expect((await run(guest, 'rm /workspace/large; echo meanwhile')).out).toBe('meanwhile\n')
    expect((await whole(body)).length).toBeGreaterThan(64_000_000)
  }, 60_000)

  test('a tree whose file changes under the reader fails by name, and is no shorter tree', async () => {
    await run(guest, 'head -c 64000000 /dev/zero >/workspace/large')
    const body = await guest.tree('large')
    await run(guest, ': >/workspace/large')
    await expect(whole(body)).rejects.toMatchObject({ code: 'export_changed' })
    await run(guest, 'rm /workspace/large')
  }, 60_000)

  test('bounds what runs at a time', async () => {
    const line = 'i=0; while [ $i -lt 300 ]; do sleep 100 & i=$((i+1)); done; echo all'
    const { id, out, err } = await run(guest, line)
    expect(out).not.toContain('all')
    expect(err).toMatch(/fork/i)
    await guest.hello()
    await guest.kill(id, 0)
    expect((await run(guest, 'echo again')).out).toBe('again\n')
  })

  test('ends in order, and what it left can be looked at by one that only reads', async () => {
    const { id } = await run(guest, 'printf said; printf complained >&2')
    const left = await guest.start(
      {
        id: 'left',
        argv: ['sh', '-c', 'printf early; sleep 1000'],
        cwd: '/',
        env: {},
        user: '',
        timeout_ms: 0,
        stdin: 'none',
        spool_bytes: 32 * MIB,
        attach: false,
      },
      0,
      0,
    )
    expect(left.state).toBe('running')
    const ends = await guest.stop(100)
    expect(ends.find((job) => job.id === 'left')).toMatchObject({ state: 'exited', killed: true })
    await gone(machine)
    expect(machine.console()).not.toMatch(/pyro:|panic|EXT4-fs error/)
    guest.close()
    await machine.end()

    const reader = await all.start({ over: machine, inspect: true })
    const looking = reader.channel()
    await looking.hello(BOOT_MS)
    await looking.mountWorkspace(true)
    expect(await looking.changes(100)).toMatchObject({ added: 4, modified: 1, deleted: 1 })
    expect(names(await whole(await looking.tree('new')))).toEqual(['./', 'one', 'two'])
    const known = await looking.jobs()
    expect(known.find((job) => job.id === id)).toMatchObject({ state: 'exited', exit_code: 0 })
    expect(known.find((job) => job.id === 'left')).toMatchObject({ state: 'exited', killed: true })
    expect((await looking.output(id, 'stdout', 0, 100)).data.toString()).toBe('said')
    expect((await looking.output(id, 'stderr', 4, 100)).data.toString()).toBe('lained')
    await expect(looking.output('none', 'stdout', 0, 100)).rejects.toMatchObject({ code: 'job_not_found' })
    await expect(run(looking, 'true')).rejects.toMatchObject({ reason: 'not_found' })
    looking.close()
    await reader.end()
  }, 120_000)

  test('a machine that was cut off has its synced changes when it starts again', async () => {
    const first = await all.start()
    let channel = first.channel()
    await channel.hello(BOOT_MS)
    await channel.mountWorkspace(false)
    await expect(
      run(
        channel,
        'printf safe >/workspace/file; dd if=/dev/null of=/workspace/file conv=fsync,notrunc 2>/dev/null; echo $?',
      ),
    ).resolves.toMatchObject({ out: '0\n' })
    channel.close()
    await first.end()
    const second = await all.start({ over: first })
    channel = second.channel()
    await channel.hello(BOOT_MS)
    await channel.mountWorkspace(false)
    expect((await run(channel, 'cat /workspace/file')).out).toBe('safe')
    expect(await channel.changes(10)).toMatchObject({ added: 1, entries: [{ path: 'file' }] })
    channel.close()
    await second.end()
  }, 120_000)
})
