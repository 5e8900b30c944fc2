// doctor on this very machine, made worse for one process or one user; and its commands, which have to mend that.
import { execFileSync, spawnSync } from 'node:child_process'
import { copyFileSync, existsSync, globSync, mkdirSync, mkdtempSync, rmdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import type { Check } from '../../src/engine/doctor/finding.ts'
import {
  killEngines,
  newFolder,
  removeFolder,
  ROOT,
  startEngine,
  type TestEngine,
} from '../support/engine.ts'
import { addUser, isRoot, removeUser, type User } from '../support/users.ts'

const named = (checks: Check[], name: string) => checks.find((check) => check.name === name)

/** What is seen by a process that a shell prepares; the script ends by running `"$@"`. */
function seen(script: string, { native = '/', env = {} } = {}): Check[] {
  const program = [process.execPath, join(ROOT, 'test/support/checks.ts'), '/', '/', native]
  const { stdout, stderr } = spawnSync('sh', ['-ec', script, 'sh', ...program], {
    encoding: 'utf8',
    env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', ...env },
  })
  expect(stderr).toBe('')
  return JSON.parse(stdout)
}
const apart = (script: string) => `exec unshare --mount sh -ec '${script}; exec "$@"' sh "$@"`

describe.runIf(isRoot)('a process whose machine lacks something', () => {
  test('no user namespaces', () => {
    const none = 'echo 0 >/proc/sys/user/max_user_namespaces'
    const checks = seen(`exec unshare --user --map-root-user sh -ec '${none}; exec "$@"' sh "$@"`)
    expect(named(checks, 'user namespaces')).toMatchObject({
      status: 'missing',
      command: expect.stringContaining('user.max_user_namespaces=15000'),
    })
    expect(named(seen('exec "$@"'), 'user namespaces')).toMatchObject({ status: 'ok' })
  })

  test('no /dev/kvm', () => {
    const checks = seen(apart('mount -t tmpfs none /dev; mknod -m 666 /dev/null c 1 3'))
    expect(named(checks, 'kvm')).toMatchObject({ status: 'weaker', why: expect.stringContaining('/dev/kvm') })
  })

  test('programs where nothing may be run', () => {
    const folder = mkdtempSync(join(tmpdir(), 'noexec-'))
    const native = join(folder, 'pyro-native')
    copyFileSync(join(ROOT, 'native/bin/pyro-native'), native)
    const checks = seen(apart(`mount --bind ${folder} ${folder}; mount -o remount,bind,noexec ${folder}`), {
      native,
    })
    expect(named(checks, 'programs')).toMatchObject({
      status: 'missing',
      command: `sudo mount -o remount,exec ${folder}`,
    })
    expect(named(seen('exec "$@"', { native }), 'programs')).toMatchObject({ status: 'ok' })
  })

  test('no room', () => {
    const folder = mkdtempSync(join(tmpdir(), 'small-'))
    const program = [process.execPath, join(ROOT, 'test/support/checks.ts'), folder, folder, '/']
    const script = `mount -t tmpfs -o size=64m none ${folder}; exec "$@"`
    const said = execFileSync('unshare', ['--mount', 'sh', '-ec', script, 'sh', ...program], {
      encoding: 'utf8',
    })
    expect(named(JSON.parse(said), 'space')).toMatchObject({
      status: 'weaker',
      why: expect.stringContaining(folder),
    })
  })

  test('a container without rights', () => {
    const run = 'setpriv --bounding-set=-sys_admin'
    const env = { KUBERNETES_SERVICE_HOST: '192.0.2.1' }
    const inside = (how: string) => seen(`exec unshare --pid --fork --mount-proc ${how} "$@"`, { env })
    expect(named(inside(run), 'surroundings')).toMatchObject({
      status: 'missing',
      why: expect.stringContaining('CAP_SYS_ADMIN'),
    })
    expect(named(inside(''), 'surroundings')).toMatchObject({
      status: 'ok',
      why: expect.stringContaining('may hold others'),
    })
  })
})

describe.runIf(isRoot)('a user', () => {
  let user: User
  let engine: TestEngine | undefined
  beforeAll(() => {
    user = addUser(`pyrodoc${process.pid % 10_000}`)
  })
  afterEach(async () => {
    await engine?.stop()
    if (engine) removeFolder(engine.folder)
    engine = undefined
  })
  afterAll(() => {
    killEngines()
    removeUser(user)
  }, 30_000)

  /** As somebody who may. */
  const obey = (command: string | null | undefined) => {
    expect(command).toMatch(/^sudo /)
    execFileSync('sh', ['-ec', command!.replaceAll('sudo ', '').replace(/ && export .*/, '')])
  }

  test('without subordinate ids is given a command, and with it a workspace', async () => {
    execFileSync('sed', ['-i', `/^${user.name}:/d`, '/etc/subuid', '/etc/subgid'])
    engine = await startEngine({ user, folder: newFolder(user) })
    const before = await engine.call('doctor', {})
    expect(before.ok).toBe(false)
    expect(named(before.checks, 'namespaces')).toMatchObject({
      status: 'missing',
      why: expect.stringMatching(/^subids_missing/),
    })
    obey(named(before.checks, 'subordinate ids')?.command)
    const after = await engine.call('doctor', {})
    expect(named(after.checks, 'subordinate ids')).toMatchObject({ status: 'ok' })
    expect(after.ok).toBe(true)
  }, 90_000)

  test.runIf(!existsSync('/sys/fs/cgroup/cgroup.controllers'))(
    'without control groups is given a command, and with it limits that hold',
    async () => {
      engine = await startEngine({ user, folder: newFolder(user) })
      const { checks } = await engine.call('doctor', {})
      const limits = named(checks, 'limits')
      expect(limits).toMatchObject({ status: 'weaker' })
      await engine.stop()
      const [, setting] = /export PYRO_CGROUP=(\S+)/.exec(limits!.command!)!
      obey(limits!.command)
      try {
        engine = await startEngine({ user, folder: newFolder(user), env: { PYRO_CGROUP: setting! } })
        const mended = await engine.call('doctor', {})
        expect(named(mended.checks, 'limits')).toMatchObject({ status: 'ok' })
        expect(mended.ok).toBe(true)
        const too_much = ['python3', '-c', 'x = bytearray(400 << 20)']
        const ran = await engine.call('run', {
          environment: 'host',
          command: too_much,
          mem_mib: 128,
          pids_limit: 64,
        })
        expect(ran).toMatchObject({ signal: 'SIGKILL' })
        await engine.stop()
      } finally {
        for (const folder of globSync(`/sys/fs/cgroup/*${setting}`)) rmdirSync(folder)
      }
    },
    120_000,
  )

  test('with a home in memory is told so', async () => {
    const folder = newFolder(user)
    const state = join(folder, 'memory')
    mkdirSync(state)
    execFileSync('mount', ['-t', 'tmpfs', '-o', `mode=700,uid=${user.uid},size=64m`, 'none', state])
    try {
      engine = await startEngine({ user, folder, env: { PYRO_HOME: state } })
      const { checks } = await engine.call('doctor', {})
      expect(named(checks, 'home')).toMatchObject({
        status: expect.stringMatching(/weaker|missing/),
        why: expect.stringContaining('tmpfs'),
      })
      expect(named(checks, 'space')).toMatchObject({ status: 'weaker' })
      await engine.stop()
    } finally {
      // The holder ends a moment after its engine.
      const gone = () => spawnSync('umount', [state], { stdio: 'ignore' }).status === 0
      await expect.poll(gone, { timeout: 10_000, interval: 100 }).toBe(true)
    }
  }, 90_000)
})
