/** A workspace that is stopped, started, lost and found again: the same on every backend and for each kind of user. */
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newFolder, type Refused, removeFolder, startEngine, type TestEngine } from '../support/engine.ts'
import { cgroupsOf, mountsBelow, processesNaming } from '../support/leaks.ts'
import type { Subject } from './suite.ts'

export function lifeSuite({ name, user, backend, environment }: Omit<Subject, 'enforcement'>): void {
  const machine = backend !== 'oci'
  const slow = machine ? 6 : 1
  const made = { backend, environment } as const

  describe(name, { timeout: 40_000 * slow }, () => {
    let engine: TestEngine
    let folder: string
    let seed: string
    beforeAll(async () => {
      folder = newFolder(user?.())
      seed = join(folder, 'seed')
      mkdirSync(seed)
      writeFileSync(join(seed, 'a.txt'), 'from the seed\n')
      engine = await startEngine({ folder, user: user?.() })
      // Whatever has to be built is.
      await engine.call('run', { ...made, command: ['true'] })
    }, 400_000)
    afterAll(async () => {
      await engine.stop()
      expect(processesNaming(folder)).toEqual([])
      expect(mountsBelow(folder)).toEqual([])
      removeFolder(folder)
    })

    const create = async (more: object = {}) =>
      (await engine.call('workspace_create', { ...made, seed_path: seed, ...more })).workspace_id
    const sh = (workspace_id: string, command: string, more: object = {}) =>
      engine.call('workspace_exec', { workspace_id, command, ...more })
    const out = async (id: string, command: string) => (await sh(id, command)).stdout.trim()
    const status = (workspace_id: string) => engine.call('workspace_status', { workspace_id })
    const gone = (workspace_id: string) => engine.call('workspace_delete', { workspace_id })
    const refusal = (asked: Promise<unknown>) =>
      asked.then(
        () => null,
        (error: Refused) => error.body,
      )
    const read = (workspace_id: string, job_id: string, more: object = {}) =>
      engine.call('workspace_job_read', { workspace_id, job_id, ...more })
    /** A command that has said that it is ready. */
    const ready = async (id: string, command: string) => {
      const { job_id } = await sh(id, `${command}; echo ready; while :; do sleep 0.1; done`, { wait_ms: 0 })
      await expect.poll(async () => (await read(id, job_id)).stdout.data, { timeout: 30_000 }).toBe('ready\n')
      return job_id
    }
    const sandboxOf = (id: string) => {
      const db = new DatabaseSync(join(folder, 'home/pyro.db'))
      const { sandbox } = db.prepare('SELECT sandbox FROM workspaces WHERE id = ?').get(id) as {
        sandbox: string
      }
      db.close()
      return JSON.parse(sandbox) as { pid: number; boot_id: string }
    }
    const again = async () => {
      engine = await startEngine({ folder, user: user?.() })
    }

    test('stop ends commands in order and keeps what they said; start goes on with the same machine', async () => {
      const id = await create({ name: 'first', labels: { k: 'v' }, mem_mib: 256, vcpu_count: 1 })
      const before = await status(id)
      const polite = await ready(id, 'trap "echo bye; exit 7" TERM')
      const stubborn = await ready(id, 'trap "" TERM')
      await sh(id, 'mkdir -p /opt/own; echo root > /opt/own/file; echo changed >> a.txt; echo new > new.txt')
      await sh(id, 'echo lost > /dev/shm/lost; echo lost > /run/lost')
      const identity = 'hostname; cat /etc/machine-id 2>/dev/null'
      const who = await out(id, identity)
      const stopping = engine.call('workspace_stop', { workspace_id: id, grace_ms: 1500 })
      await expect.poll(async () => (await status(id)).state).toBe('stopping')
      expect(await refusal(sh(id, 'true'))).toMatchObject({ code: 'wrong_state' })
      expect(await stopping).toMatchObject({
        state: 'stopped',
        state_reason: 'on request',
        running_job_count: 0,
      })
      expect(cgroupsOf(id)).toEqual([])

      expect(await read(id, polite)).toMatchObject({
        state: 'exited',
        exit_code: 7,
        stdout: { data: 'ready\nbye\n' },
      })
      expect(await read(id, stubborn)).toMatchObject({
        state: 'exited',
        signal: 'SIGKILL',
        stdout: { data: 'ready\n', eof: true },
      })
      const refused = await refusal(sh(id, 'true'))
      expect(refused).toMatchObject({ code: 'wrong_state' })
      expect(refused!.hint).toContain(`pyro workspace start ${id}`)
      await engine.call('workspace_export', {
        workspace_id: id,
        path: 'new.txt',
        output_path: join(folder, 'new'),
      })
      expect(readFileSync(join(folder, 'new'), 'utf8')).toBe('new\n')
      await engine.call('workspace_update', { workspace_id: id, name: 'renamed' })
      expect(await engine.call('workspace_stop', { workspace_id: id })).toMatchObject({ state: 'stopped' })

      const started = await engine.call('workspace_start', { workspace_id: id })
      expect(started).toMatchObject({
        state: 'running',
        state_reason: null,
        name: 'renamed',
        labels: before.labels,
        limits: before.limits,
        workspace_seed: before.workspace_seed,
      })
      expect(await engine.call('workspace_start', { workspace_id: id })).toMatchObject({ state: 'running' })
      expect(await out(id, identity)).toBe(who)
      expect(await out(id, 'cat /opt/own/file a.txt new.txt; ls /dev/shm/lost /run/lost 2>/dev/null')).toBe(
        'root\nfrom the seed\nchanged\nnew',
      )
      expect(await out(id, 'ps ax -o args | grep "sleep 0[.]1" || echo none')).toBe('none')
      // What was said before is read from the new sandbox as it was from the old one.
      expect(await read(id, polite, { stdout_cursor: 6 })).toMatchObject({
        exit_code: 7,
        stdout: { data: 'bye\n', eof: true },
      })
      const { entries } = await engine.call('workspace_logs', { workspace_id: id })
      expect(entries.map(({ sequence }) => sequence)).toEqual(entries.map((_, at) => at + 1))
      expect(entries[0]).toMatchObject({ stdout: 'ready\nbye\n', exit_code: 7 })

      const { changes, never_exported } = await gone(id)
      expect(changes).toEqual({ added: 1, modified: 1, deleted: 0 })
      expect(never_exported.entries.map(({ path }) => path)).toEqual(['a.txt'])
    })

    test('a workspace without a seed, three times', async () => {
      const id = (await engine.call('workspace_create', made)).workspace_id
      for (let round = 1; round <= 3; round++) {
        await sh(id, `echo ${round} >> rounds`)
        await engine.call('workspace_stop', { workspace_id: id })
        await engine.call('workspace_start', { workspace_id: id })
      }
      expect(await out(id, 'tr "\\n" " " < rounds')).toBe('1 2 3')
      expect((await gone(id)).changes).toEqual({ added: 1, modified: 0, deleted: 0 })
    })

    test('a sandbox that died is started again', async () => {
      const id = await create()
      await sh(id, 'echo left > left.txt; sync')
      const { job_id } = await sh(id, 'echo said; sleep 600', { wait_ms: 500 })
      process.kill(sandboxOf(id).pid, 'SIGKILL')
      await expect.poll(() => status(id)).toMatchObject({ state: 'failed' })
      expect(await engine.call('workspace_stop', { workspace_id: id })).toMatchObject({ state: 'failed' })
      await engine.call('workspace_start', { workspace_id: id })
      expect(await out(id, 'cat left.txt a.txt')).toBe('left\nfrom the seed')
      expect(await read(id, job_id)).toMatchObject({ state: 'lost' })
      await gone(id)
    })

    test('after this machine was started again it is stopped, and can be started', async () => {
      const id = await create()
      await sh(id, 'echo left > left.txt; sync')
      await engine.kill()
      // As after a boot: no process is there, and what was recorded is of another boot.
      const sandbox = sandboxOf(id)
      const { pid } = JSON.parse(readFileSync(join(folder, 'home/holder.json'), 'utf8')) as { pid: number }
      for (const each of [sandbox.pid, pid]) process.kill(each, 'SIGKILL')
      await expect.poll(() => processesNaming(folder), { timeout: 10_000 }).toEqual([])
      const db = new DatabaseSync(join(folder, 'home/pyro.db'))
      db.prepare('UPDATE workspaces SET sandbox = ? WHERE id = ?').run(
        JSON.stringify({ ...sandbox, boot_id: 'another' }),
        id,
      )
      db.close()
      await again()
      expect(await status(id)).toMatchObject({ state: 'stopped', state_reason: 'host restarted' })
      await engine.call('workspace_start', { workspace_id: id })
      expect(await out(id, 'cat left.txt a.txt')).toBe('left\nfrom the seed')
      await gone(id)
    })

    test('who goes away while it starts leaves a stopped one', async () => {
      const id = await create()
      await engine.call('workspace_stop', { workspace_id: id })
      const leaving = new AbortController()
      const start = engine.call('workspace_start', { workspace_id: id }, leaving.signal).catch(() => {})
      await expect.poll(async () => (await status(id)).state, { interval: 1 }).not.toBe('stopped')
      leaving.abort()
      await start
      await expect.poll(async () => (await status(id)).state, { timeout: 60_000 }).toMatch(/stopped|running/)
      await engine.call('workspace_start', { workspace_id: id })
      expect(await out(id, 'cat a.txt')).toBe('from the seed')
      await gone(id)
    })

    test('an idle one is stopped, also by the next engine; a command is life', async () => {
      const id = await create({ idle_seconds: 2 })
      await sh(id, 'echo left > left.txt; sleep 4')
      const after = await status(id)
      expect(after).toMatchObject({ state: 'running', idle_seconds: 2 })
      expect(Date.parse(after.idle_stops_at!)).toBeGreaterThan(Date.parse(after.last_activity_at))
      await expect
        .poll(() => status(id), { timeout: 30_000 })
        .toMatchObject({ state: 'stopped', state_reason: 'idle for 2 s', idle_stops_at: null })
      await engine.call('workspace_start', { workspace_id: id })
      expect(await out(id, 'cat left.txt')).toBe('left')
      await engine.kill()
      await new Promise((resolve) => setTimeout(resolve, 3000))
      await again()
      await expect.poll(() => status(id), { timeout: 30_000 }).toMatchObject({ state: 'stopped' })
      await engine.call('workspace_update', { workspace_id: id, clear_idle: true })
      expect(await status(id)).toMatchObject({ idle_seconds: null })
      await gone(id)
    })

    test('one whose time ran out is deleted with its commands, and what went with it can be asked', async () => {
      const id = await create({ ttl_seconds: 600, name: 'mortal' })
      await sh(id, 'echo lost > lost.txt')
      await sh(id, 'sleep 600', { wait_ms: 0 })
      await engine.call('workspace_update', { workspace_id: id, clear_ttl: true })
      expect((await status(id)).expires_at).toBeNull()
      const { expires_at } = await engine.call('workspace_update', { workspace_id: id, ttl_seconds: 1 })
      expect(Date.parse(expires_at!)).toBeLessThan(Date.now() + 2000)
      await expect
        .poll(() => refusal(status('mortal')), { timeout: 60_000 })
        .toMatchObject({ code: 'workspace_not_found' })
      const said = await refusal(status('mortal'))
      expect(said).toMatchObject({ message: expect.stringContaining('ran out') })
      const { workspaces, expired } = await engine.call('workspace_list', { expired: true })
      expect(workspaces.map(({ workspace_id }) => workspace_id)).not.toContain(id)
      expect(expired![0]).toMatchObject({
        workspace_id: id,
        name: 'mortal',
        never_exported: { entries: [{ path: 'lost.txt' }] },
      })
      expect((await engine.call('workspace_list', {})).expired).toBeUndefined()
      expect(readFileSync(join(folder, 'home/engine.log'), 'utf8')).toMatch(/workspace\.expired.*lost\.txt/)
    })

    test('what was due while there was no engine is done by the next', async () => {
      const id = await create({ ttl_seconds: 2 })
      await engine.kill()
      await new Promise((resolve) => setTimeout(resolve, 2500))
      await again()
      await expect
        .poll(() => refusal(status(id)), { timeout: 60_000 })
        .toMatchObject({ code: 'workspace_not_found' })
      await engine.call('workspace_list', { expired: true })
    })
  })
}
