/**
 * The engine killed, and the disk full or broken, at every record it writes about a workspace: nothing is half done, nothing
 * is left. The same for each backend.
 */
import { execFileSync } from 'node:child_process'
import {
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  renameSync,
  rmSync,
  truncateSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import { FAULT_POINTS, type FaultPoint } from '../../src/engine/faults.ts'
import {
  killEngines,
  Lost,
  newFolder,
  Refused,
  removeFolder,
  startEngine,
  type TestEngine,
} from '../support/engine.ts'
import { cgroupsOf, mountsBelow, processesNaming } from '../support/leaks.ts'

/** Those of the engine itself have tests of their own. */
const POINTS = FAULT_POINTS.filter((point) => !/^(holder|listen|token)\./.test(point))

export interface FaultSubject {
  name: string
  backend: 'oci' | 'qemu'
  environment: string
  kinds: ('kill' | 'enospc' | 'eio')[]
}

export function faultSuite({ name, kinds, ...made }: FaultSubject): void {
  const folder = newFolder()
  const seed = join(folder, 'seed')
  // An archive that ends where the content of its file would begin: that shows when it is unpacked, and not before.
  const broken = join(folder, 'broken.tar')
  const out = join(folder, 'out.txt')
  let kept: string

  beforeAll(async () => {
    mkdirSync(seed)
    writeFileSync(join(seed, 'a.txt'), 'from the seed\n')
    execFileSync('tar', ['-C', seed, '-cf', broken, '.'])
    truncateSync(broken, 1024)
    const engine = await startEngine({ folder })
    kept = (await engine.call('workspace_create', { ...made, seed_path: seed, name: 'kept' })).workspace_id
    await engine.call('workspace_exec', {
      workspace_id: kept,
      command: 'echo first words; echo x > made.txt',
    })
    await engine.call('workspace_exec', { workspace_id: kept, command: 'sleep 600', wait_ms: 0 })
    await engine.kill()
  })

  afterEach(killEngines)
  afterAll(async () => {
    const engine = await startEngine({ folder })
    await engine.stop()
    expect(processesNaming(folder)).toEqual([])
    expect(mountsBelow(folder)).toEqual([])
    expect(cgroupsOf(kept)).toEqual([])
    expect(readdirSync(join(folder, 'home/workspaces'))).toEqual([])
    removeFolder(folder)
  })

  /** What reaches each point, on an engine that has it armed. */
  const DRIVE: Record<string, (engine: TestEngine, point: FaultPoint) => Promise<unknown>> = {
    create: (engine, point) =>
      engine.call('workspace_create', {
        ...made,
        seed_path: point === 'create.undone' ? broken : seed,
        name: 'second',
      }),
    exec: (engine, point) =>
      engine.call('workspace_exec', {
        workspace_id: 'kept',
        command: 'echo hi',
        cwd: point === 'exec.undone' ? '/missing' : '/',
      }),
    update: (engine) => engine.call('workspace_update', { workspace_id: 'kept', labels: { touched: 'yes' } }),
    export: (engine) =>
      engine.call('workspace_export', { workspace_id: 'kept', path: 'a.txt', output_path: out }),
    stop: (engine) => engine.call('workspace_stop', { workspace_id: 'second', grace_ms: 500 }),
    start: (engine) => engine.call('workspace_start', { workspace_id: 'second' }),
    // The call only starts the clock; what it leads to fails beside it.
    expire: async (engine) => {
      await engine.call('workspace_update', { workspace_id: 'second', ttl_seconds: 1 })
      const log = () => readFileSync(join(engine.home, 'engine.log'), 'utf8')
      const failed = expect.poll(log, { timeout: 60_000 }).toMatch(/lifetime.failed/)
      await Promise.race([engine.ended, failed])
    },
    end: (engine) => engine.call('workspace_status', { workspace_id: 'second' }),
    delete: async (engine) => {
      await engine.call('workspace_delete', { workspace_id: 'second' })
    },
  }

  /** Has something of every kind to lose: a file, an output, a command that runs. */
  async function makeSecond(stopped: boolean): Promise<string> {
    const engine = await startEngine({ folder })
    const { workspace_id } = await engine.call('workspace_create', {
      ...made,
      seed_path: seed,
      name: 'second',
    })
    const exec = (command: string, wait_ms: number) =>
      engine.call('workspace_exec', { workspace_id, command, wait_ms })
    await exec('echo mine > mine.txt; echo said', 30_000)
    await exec('sleep 600', 0)
    if (stopped) await engine.call('workspace_stop', { workspace_id, grace_ms: 500 })
    await engine.kill()
    return workspace_id
  }
  let second: string
  const layers = () => join(folder, 'home/workspaces', second)

  /** Things that have to be there before the armed engine starts. */
  async function prepare(point: FaultPoint): Promise<void> {
    rmSync(out, { force: true })
    rmSync(join(folder, 'home/engine.log'), { force: true })
    const group = point.split('.')[0]!
    if (['stop', 'start', 'expire'].includes(group)) second = await makeSecond(group === 'start')
    // A start that can't succeed: what it needs is away for a while.
    if (point === 'start.undone') renameSync(layers(), `${layers()}-away`)
    if (point.startsWith('delete.')) {
      const engine = await startEngine({ folder })
      await engine.call('workspace_create', { ...made, seed_path: seed, name: 'second' })
      await engine.kill()
    }
    if (point === 'end.outcome') {
      const engine = await startEngine({ folder })
      await engine.call('workspace_create', { ...made, name: 'second' })
      await engine.kill()
      const db = new DatabaseSync(join(folder, 'home/pyro.db'), { readOnly: true })
      const row = db.prepare("SELECT sandbox FROM workspaces WHERE name = 'second'").get() as {
        sandbox: string
      }
      db.close()
      process.kill(JSON.parse(row.sandbox).pid, 'SIGKILL')
    }
    if (point === 'adopt.outcome') {
      const engine = await startEngine({ folder, env: { PYRO_FAULT: 'exec.intent:kill' } })
      await expect(DRIVE['exec']!(engine, 'exec.intent')).rejects.toThrow(Lost)
      await engine.ended
    }
  }

  /** The state is old or new, what was there is there, and the next command works. */
  async function verify(point: FaultPoint, before: Set<string>): Promise<void> {
    if (point === 'start.undone') renameSync(`${layers()}-away`, layers())
    const engine = await startEngine({ folder })
    try {
      if (/^(stop|start)[.]/.test(point)) await verifyStartable(engine)
      if (point.startsWith('expire.')) await verifyExpired(engine)
      await verifyWith(engine, before)
    } finally {
      await engine.kill()
    }
  }

  /** Stopped or running, never between the two; it starts, and has what it had. */
  async function verifyStartable(engine: TestEngine): Promise<void> {
    const workspace_id = second
    const state = async () => (await engine.call('workspace_status', { workspace_id })).state
    await expect.poll(state, { timeout: 60_000 }).toMatch(/^(running|stopped)$/)
    const ran = await state()
    await engine.call('workspace_start', { workspace_id })
    const command = 'cat a.txt mine.txt; hostname'
    const answer = await engine.call('workspace_exec', { workspace_id, command })
    expect(answer.stdout).toBe('from the seed\nmine\nsecond\n')
    const { entries } = await engine.call('workspace_logs', { workspace_id })
    expect(entries[0]).toMatchObject({ stdout: 'said\n', state: 'exited' })
    if (ran === 'stopped') expect(entries[1]!.state).not.toBe('running')
  }

  /** Gone, and what went with it is known. */
  async function verifyExpired(engine: TestEngine): Promise<void> {
    const state = () =>
      engine.call('workspace_status', { workspace_id: second }).catch((error: Refused) => error.body.message)
    await expect.poll(state, { timeout: 60_000 }).toMatch(/time of workspace .* ran out/)
    const { expired } = await engine.call('workspace_list', { expired: true })
    const entries = expired!.find(({ workspace_id }) => workspace_id === second)?.never_exported?.entries
    expect(entries?.map(({ path }) => path)).toEqual(['mine.txt'])
  }

  async function verifyWith(engine: TestEngine, before: Set<string>): Promise<void> {
    const { workspaces } = await engine.call('workspace_list', {})
    for (const { workspace_id, name } of workspaces) {
      if (name === 'kept') continue
      // A workspace that recovery is taking away is gone when its queue is through; one that is there works.
      const left = await engine.call('workspace_delete', { workspace_id }).catch((error) => error)
      if (left instanceof Error) expect((left as Refused).body.code).toBe('workspace_not_found')
    }
    const logs = async () =>
      (await engine.call('workspace_logs', { workspace_id: kept, limit: 1000 })).entries
    // A new engine asks the guest what became of a command whose beginning was recorded, and waits for nobody.
    await expect
      .poll(async () => (await logs()).slice(2).filter(({ state }) => state === 'running'), {
        timeout: 15_000,
      })
      .toEqual([])
    const entries = await logs()
    expect(entries[0]).toMatchObject({ sequence: 1, exit_code: 0, stdout: 'first words\n' })
    expect(entries[1]).toMatchObject({ sequence: 2, state: 'running' })
    for (const entry of entries.slice(2))
      expect(entry).toMatchObject({ state: 'exited', exit_code: 0, stdout: 'hi\n' })
    const status = await engine.call('workspace_status', { workspace_id: kept })
    expect(status.state).toBe('running')
    expect([{}, { touched: 'yes' }]).toContainEqual(status.labels)
    const command = '[ "$(cat a.txt made.txt)" = "$(printf "from the seed\\nx")" ] && echo hi'
    const answer = await engine.call('workspace_exec', { workspace_id: kept, command })
    expect(answer).toMatchObject({ exit_code: 0, stdout: 'hi\n' })
    if (existsSync(out)) expect(readFileSync(out, 'utf8')).toBe('from the seed\n')
    for (const name of readdirSync(folder)) expect(before.has(name) || name === 'out.txt').toBe(true)
    expect(readdirSync(join(folder, 'home/workspaces'))).toEqual([kept])
  }

  describe.each(POINTS)(`${name}: %s`, (point) => {
    test.each(kinds)('%s', { timeout: 120_000 }, async (kind) => {
      await prepare(point)
      const before = new Set(readdirSync(folder))
      const env = { PYRO_FAULT: `${point}:${kind}` }
      const engine = await startEngine({ folder, env }).catch((error: Error) => error)
      if (engine instanceof Error) {
        // The point lies in recovery: the armed engine may die before it answers.
        expect(['adopt.outcome', 'end.outcome']).toContain(point)
      } else {
        const drive = DRIVE[point.split('.')[0]!]
        const answer = await (drive?.(engine, point) ?? Promise.resolve()).catch((error: Error) => error)
        if (kind === 'kill') expect(await engine.ended).toMatchObject({ signal: 'SIGKILL' })
        else if (answer instanceof Refused)
          expect(['disk_full', 'io_error', 'seed_invalid', 'cwd_not_found']).toContain(answer.body.code)
        await engine.kill()
      }
      await verify(point, before)
    })
  })
}
