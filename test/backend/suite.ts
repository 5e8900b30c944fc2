/**
 * What every backend must do, asked through the engine: the same tests for each backend and each kind of user. A new
 * backend joins by one more call.
 */
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newFolder, type Refused, removeFolder, startEngine, type TestEngine } from '../support/engine.ts'
import { cgroupsOf, mountsBelow, processesNaming } from '../support/leaks.ts'
import type { User } from '../support/users.ts'
import { containerIsolation, machineIsolation } from './isolation.ts'

export interface Subject {
  name: string
  user?: () => User
  enforcement: 'full' | 'partial'
  /** What is created by default; isolation follows from the backend. */
  backend: 'oci' | 'qemu'
  environment: string
}

export function backendSuite({ name, user, enforcement, backend, environment }: Subject): void {
  const machine = backend !== 'oci'
  /** Booting, and everything inside, takes longer where a processor is emulated. */
  const slow = machine ? 6 : 1
  const made = { backend, environment } as const
  describe(name, { timeout: 30_000 * slow }, () => {
    let engine: TestEngine
    let folder: string
    let seed: string
    let id: string

    beforeAll(async () => {
      const who = user?.()
      folder = newFolder(who)
      seed = join(folder, 'seed')
      mkdirSync(join(seed, 'src'), { recursive: true })
      writeFileSync(join(seed, 'src/a.txt'), 'from the seed\n')
      writeFileSync(join(seed, 'run.sh'), '#!/bin/sh\necho ran\n', { mode: 0o755 })
      engine = await startEngine({ folder, user: who })
      const first = await engine.call('workspace_create', {
        ...made,
        seed_path: seed,
        name: 'one',
        labels: { k: 'v' },
      })
      id = first.workspace_id
      expect(first).toMatchObject({
        state: 'running',
        backend,
        isolation: machine ? 'machine' : 'container',
        name: 'one',
        workspace_seed: { origin_kind: 'directory', files: 2 },
      })
      expect(first.limits.enforcement).toBe(enforcement)
    }, 300_000)
    afterAll(async () => {
      await engine.stop()
      expect(processesNaming(folder)).toEqual([])
      expect(mountsBelow(folder)).toEqual([])
      expect(cgroupsOf(id)).toEqual([])
      expect(readdirSync(join(folder, 'home/workspaces'))).toEqual([])
      removeFolder(folder)
    })

    const sh = (command: string, more: object = {}) =>
      engine.call('workspace_exec', { workspace_id: id, command, ...more })
    const out = async (command: string, more: object = {}) => (await sh(command, more)).stdout.trim()

    test('a command has its streams apart, an exit code, its place and its costs', async () => {
      const result = await sh('echo out; echo err >&2; exit 3')
      expect(result).toMatchObject({
        stdout: 'out\n',
        stderr: 'err\n',
        exit_code: 3,
        state: 'exited',
        cwd: '/workspace',
      })
      expect(result.duration_ms).toBeGreaterThan(0)
      expect(result.peak_memory_bytes).toBeGreaterThan(100_000)
      expect(await sh('kill -9 $$')).toMatchObject({ signal: 'SIGKILL', exit_code: null })
    })
    test('argv is passed as it is; env, cwd, stdin and user arrive', async () => {
      const argv = await engine.call('workspace_exec', {
        workspace_id: id,
        command: ['printf', '%s|', 'a b', '$HOME', ''],
      })
      expect(argv.stdout).toBe('a b|$HOME||')
      expect(await out('echo $X; pwd', { env: { X: '1 2' }, cwd: '/workspace/src' })).toBe(
        '1 2\n/workspace/src',
      )
      expect(await out('cat', { stdin: 'typed' })).toBe('typed')
      expect(await out('id -u; whoami')).toBe('0\nroot')
      expect(await out('id -u', { user: 'pyro' })).toBe('1000')
      expect(
        (await engine.call('workspace_exec', { workspace_id: id, command: ['no-such-program'] })).exit_code,
      ).toBe(127)
    })
    test('the seed is there, belongs to its user, and is not the original', async () => {
      expect(await out('./run.sh; cat src/a.txt; stat -c %u:%a src run.sh')).toBe(
        'ran\nfrom the seed\n0:755\n0:755',
      )
      await sh('echo changed > src/a.txt; chown 1000 src/a.txt; rm run.sh')
      expect(readFileSync(join(seed, 'src/a.txt'), 'utf8')).toBe('from the seed\n')
      expect(existsSync(join(seed, 'run.sh'))).toBe(true)
      expect(await out('stat -c %u src/a.txt; cat src/a.txt; ls')).toBe('1000\nchanged\nsrc')
    })
    if (machine) machineIsolation(out)
    else containerIsolation(out)
    test('a timeout ends the whole tree, daemons with an empty environment included', async () => {
      const result = await sh('env -i setsid sh -c "sleep 4321 & wait" & sleep 4322', {
        timeout_seconds: 0.5,
      })
      expect(result).toMatchObject({ timed_out: true, state: 'exited' })
      expect(await out('ps ax -o args | grep "sleep 43[2]" || echo none')).toBe('none')
    })
    test('what a command leaves behind lives on and ends by its job', async () => {
      const left = await sh('setsid sleep 5432 >/dev/null 2>&1 & echo started')
      expect(left).toMatchObject({ state: 'exited', stdout: 'started\n' })
      expect(await out('ps ax -o args | grep -c "sleep 543[2]"')).toBe('1')
      await engine.call('workspace_job_kill', { workspace_id: id, job_id: left.job_id, grace_ms: 100 })
      expect(await out('ps ax -o args | grep "sleep 543[2]" || echo none')).toBe('none')
    })
    test('a long command is answered early and read on by cursor', async () => {
      const begun = await sh('for i in 1 2 3; do echo line $i; sleep 0.2; done', { wait_ms: 50 })
      expect(begun.state).toBe('running')
      let [cursor, text] = [0, '']
      for (;;) {
        const read = await engine.call('workspace_job_read', {
          workspace_id: id,
          job_id: begun.job_id,
          stdout_cursor: cursor,
          wait_ms: 5000,
        })
        text += read.stdout.data
        cursor = read.stdout.cursor
        if (read.state === 'exited' && read.stdout.eof) break
      }
      expect(text).toBe('line 1\nline 2\nline 3\n')
    })
    test('the oldest output beyond the bound is dropped, and it says how much', async () => {
      const done = await sh('seq 1 40000', { spool_bytes: 65_536, max_output_bytes: 0 })
      const size = Array.from({ length: 40_000 }, (_, i) => `${i + 1}\n`).join('').length
      const read = await engine.call('workspace_job_read', {
        workspace_id: id,
        job_id: done.job_id,
        max_bytes: 100_000,
      })
      expect(read.stdout.end).toBe(size)
      expect(read.stdout.dropped).toBe(size - 65_536)
      expect(read.stdout.data.endsWith('39999\n40000\n')).toBe(true)
    })
    test('standard input can be written to while it runs', async () => {
      const begun = await sh('read a; echo got $a; cat', { stdin_open: true, wait_ms: 0 })
      const job = { workspace_id: id, job_id: begun.job_id }
      expect(await engine.call('workspace_job_write', { ...job, data: 'one\n' })).toMatchObject({
        written: 4,
      })
      await engine.call('workspace_job_write', {
        ...job,
        data: Buffer.from('two').toString('base64'),
        encoding: 'base64',
        eof: true,
      })
      let read = await engine.call('workspace_job_read', { ...job, wait_ms: 5000 })
      while (read.state === 'running')
        read = await engine.call('workspace_job_read', {
          ...job,
          stdout_cursor: read.stdout.end,
          wait_ms: 5000,
        })
      expect((await engine.call('workspace_job_read', job)).stdout.data).toBe('got one\ntwo')
    })
    test('limits hold', async () => {
      const small = await engine.call('workspace_create', {
        ...made,
        mem_mib: machine ? 128 : 64,
        pids_limit: 64,
        vcpu_count: 1,
      })
      const one = { workspace_id: small.workspace_id }
      const eaten = await engine.call('workspace_exec', {
        ...one,
        // tail keeps a line in memory until it has the whole of it.
        command: 'head -c 512M /dev/zero | tail >/dev/null',
      })
      expect(eaten.exit_code === 0).toBe(false)
      const forks = await engine.call('workspace_exec', {
        ...one,
        command: 'for i in $(seq 200); do sleep 5 & done 2>&1 | tail -1',
        timeout_seconds: 20 * slow,
      })
      expect(`${forks.stdout}${forks.stderr}`).toMatch(/[Rr]esource|fork/)
      await engine.call('workspace_delete', one)
    })
    test('export: files and folders, atomically, never a link that leaves', async () => {
      await sh(
        'mkdir -p out/deep; echo one > out/1; ln -s 1 out/link; ln -s /etc/passwd leaves; ln -s ../../etc up',
      )
      const target = join(folder, 'home/../exported')
      const done = await engine.call('workspace_export', {
        workspace_id: id,
        path: 'out',
        output_path: join(folder, 'exported'),
      })
      expect(done).toMatchObject({ kind: 'directory', files: 1 })
      expect(readFileSync(join(target, '1'), 'utf8')).toBe('one\n')
      const refused = (input: { path: string; output_path?: string }) =>
        engine
          .call('workspace_export', { workspace_id: id, output_path: join(folder, 'nothing'), ...input })
          .then(
            () => 'done',
            (error: Refused) => error.body.code,
          )
      expect(await refused({ path: 'leaves' })).toBe('link_leaves')
      expect(await refused({ path: 'up/passwd' })).toBe('link_leaves')
      expect(await refused({ path: '../etc/passwd' })).toBe('path_outside_workspace')
      expect(await refused({ path: 'absent' })).toBe('path_not_found')
      expect(await refused({ path: 'out/1', output_path: join(folder, 'exported') })).toBe('output_exists')
      expect(await refused({ path: 'out/1', output_path: join(folder, 'no/such/place') })).toBe(
        'output_parent_missing',
      )
      expect(existsSync(join(folder, 'nothing'))).toBe(false)
      expect(statSync(join(target, '1')).uid).toBe(user?.().uid ?? 0)
    })
    test('delete says what was never exported', async () => {
      const { workspace_id } = await engine.call('workspace_create', { ...made, seed_path: seed })
      await engine.call('workspace_exec', {
        workspace_id,
        command: 'echo n > new.txt; echo e > taken.txt; echo m >> src/a.txt; rm run.sh',
      })
      await engine.call('workspace_export', {
        workspace_id,
        path: 'taken.txt',
        output_path: join(folder, 'taken.txt'),
      })
      const gone = await engine.call('workspace_delete', { workspace_id })
      expect(gone.changes).toEqual({ added: 2, modified: 1, deleted: 1 })
      expect(gone.never_exported.entries.map(({ path, change }) => `${change} ${path}`).sort()).toEqual([
        'added new.txt',
        'deleted run.sh',
        'modified src/a.txt',
      ])
      expect(existsSync(join(folder, 'home/workspaces', workspace_id))).toBe(false)
    })
    test('a command and its output outlive a killed engine', async () => {
      const begun = await sh('for i in $(seq 30); do echo $i; sleep 0.1; done', { wait_ms: 0 })
      await engine.kill()
      engine = await startEngine({ folder, user: user?.() })
      let read = await engine.call('workspace_job_read', { workspace_id: id, job_id: begun.job_id })
      while (read.state === 'running')
        read = await engine.call('workspace_job_read', {
          workspace_id: id,
          job_id: begun.job_id,
          stdout_cursor: read.stdout.end,
          wait_ms: 5000,
        })
      const whole = await engine.call('workspace_job_read', { workspace_id: id, job_id: begun.job_id })
      expect(whole.stdout.data.trim().split('\n')).toHaveLength(30)
      expect(whole).toMatchObject({ exit_code: 0, state: 'exited' })
    })
    test('a sandbox that was killed leaves a workspace that can be read, exported and deleted', async () => {
      const { workspace_id } = await engine.call('workspace_create', made)
      await engine.call('workspace_exec', { workspace_id, command: 'echo left > file; echo said' })
      // What is killed with a machine is what its kernel had not written out yet, as in a power cut.
      if (machine) await engine.call('workspace_exec', { workspace_id, command: 'sync' })
      await engine.call('workspace_exec', {
        workspace_id,
        command: 'sleep 0.2; kill -9 -1; kill -9 1',
        wait_ms: 0,
      })
      if (!machine) expect(processesNaming('/run/pyro/guest').length).toBeGreaterThan(0)
      await killSandbox(workspace_id)
      expect(await engine.call('workspace_status', { workspace_id })).toMatchObject({ state: 'failed' })
      const { entries } = await engine.call('workspace_logs', { workspace_id })
      expect(entries[0]).toMatchObject({ stdout: 'said\n', exit_code: 0 })
      await engine.call('workspace_export', { workspace_id, path: 'file', output_path: join(folder, 'left') })
      expect(readFileSync(join(folder, 'left'), 'utf8')).toBe('left\n')
      await expect(engine.call('workspace_exec', { workspace_id, command: 'true' })).rejects.toThrow(
        /wrong_state/,
      )
      await engine.call('workspace_delete', { workspace_id })
    })

    /** Kills PID 1 of a sandbox from outside, as the kernel does when memory runs out. */
    async function killSandbox(workspace: string): Promise<void> {
      const { DatabaseSync } = await import('node:sqlite')
      const db = new DatabaseSync(join(folder, 'home/pyro.db'), { readOnly: true })
      const { sandbox } = db.prepare('SELECT sandbox FROM workspaces WHERE id = ?').get(workspace) as {
        sandbox: string
      }
      db.close()
      process.kill(JSON.parse(sandbox).pid, 'SIGKILL')
      await expect
        .poll(async () => (await engine.call('workspace_status', { workspace_id: workspace })).state)
        .toBe('failed')
    }
  })
}
