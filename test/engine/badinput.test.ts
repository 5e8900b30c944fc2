/** What is refused is refused with a code and a hint, before anything is left behind. */
import { execFileSync, spawn } from 'node:child_process'
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ErrorCode } from '../../src/contract/errors.ts'
import type { InputOf, OperationName } from '../../src/contract/table.ts'
import {
  engineEnv,
  newFolder,
  Refused,
  removeFolder,
  ROOT,
  startEngine,
  type TestEngine,
} from '../support/engine.ts'
import { mountsBelow, processesNaming } from '../support/leaks.ts'
import { isRoot } from '../support/users.ts'

async function refusal<N extends OperationName>(
  engine: TestEngine,
  name: N,
  input: InputOf<N>,
): Promise<Refused['body']> {
  const answer = await engine.call(name, input).catch((error: unknown) => error)
  if (answer instanceof Refused) return answer.body
  throw new Error(`${name} was not refused: ${JSON.stringify(answer)}`)
}
const left = (folder: string) => {
  const path = join(folder, 'home/workspaces')
  return existsSync(path) ? readdirSync(path) : []
}

describe('on a healthy machine', () => {
  let engine: TestEngine
  let folder: string
  let id: string
  beforeAll(async () => {
    engine = await startEngine()
    folder = engine.folder
    id = (await engine.call('workspace_create', { environment: 'host', name: 'one' })).workspace_id
    mkdirSync(join(folder, 'seed'))
    writeFileSync(join(folder, 'seed/a'), 'a')
  })
  afterAll(async () => {
    await engine.stop()
    expect(processesNaming(folder)).toEqual([])
    removeFolder(folder)
  })

  test.each<[ErrorCode, object]>([
    ['environment_not_found', { environment: 'nowhere' }],
    ['name_taken', { environment: 'host', name: 'one' }],
    ['seed_not_found', { environment: 'host', seed_path: '/no/such/place' }],
    ['seed_unsupported', { environment: 'host', seed_path: '/etc/passwd' }],
    ['invalid_input', { environment: 'host', seed_path: 'relative' }],
    ['invalid_input', { environment: 'host', name: 'Not A Name' }],
    ['invalid_input', { environment: 'host', mem_mib: 1 }],
    ['invalid_input', { environment: 'host', surprise: true }],
    ['invalid_input', {}],
  ])('create: %s for %j', async (code, input) => {
    const body = await refusal(engine, 'workspace_create', input as InputOf<'workspace_create'>)
    expect(body.code).toBe(code)
    expect(body.message.length).toBeGreaterThan(10)
    expect((await engine.call('workspace_list', {})).workspaces).toHaveLength(1)
    expect(left(folder)).toEqual([id])
  })
  test('create: a seed that holds PYRO_HOME', async () => {
    expect((await refusal(engine, 'workspace_create', { environment: 'host', seed_path: folder })).code).toBe(
      'seed_overlap',
    )
    expect(left(folder)).toEqual([id])
  })
  test('create: a tree that changes while it is read', async () => {
    const seed = join(folder, 'busy')
    mkdirSync(seed)
    // Large enough that somebody writes to it while it is copied, however slow the disk makes them.
    const file = join(seed, 'growing')
    for (let i = 0; i < 12; i++) appendFileSync(file, Buffer.alloc(16 << 20, i))
    const size = statSync(file).size
    const writer = spawn('sh', ['-c', `while :; do echo more >> ${file}; done`])
    await expect.poll(() => statSync(file).size).toBeGreaterThan(size)
    const body = await refusal(engine, 'workspace_create', { environment: 'host', seed_path: seed }).finally(
      () => writer.kill(),
    )
    expect(body).toMatchObject({ code: 'seed_changed', retryable: true })
    expect(body.hint).toBeTruthy()
    expect(left(folder)).toEqual([id])
  })
  test('a seed is read without following links out of it', async () => {
    const seed = join(folder, 'linked')
    mkdirSync(seed)
    symlinkSync('/etc', join(seed, 'etc'))
    const made = await engine.call('workspace_create', { environment: 'host', seed_path: seed })
    const read = await engine.call('workspace_exec', {
      workspace_id: made.workspace_id,
      command: 'readlink etc; ls etc/shadow',
    })
    expect(read.stdout).toBe('/etc\n')
    await engine.call('workspace_delete', { workspace_id: made.workspace_id })
  })
  test.each<[ErrorCode, OperationName, object]>([
    ['workspace_not_found', 'workspace_status', { workspace_id: 'nobody' }],
    ['workspace_not_found', 'workspace_exec', { workspace_id: 'nobody', command: 'true' }],
    ['workspace_not_found', 'workspace_delete', { workspace_id: 'nobody' }],
    ['cwd_not_found', 'workspace_exec', { workspace_id: 'one', command: 'true', cwd: '/nowhere' }],
    ['user_not_found', 'workspace_exec', { workspace_id: 'one', command: 'true', user: 'stranger' }],
    ['invalid_input', 'workspace_exec', { workspace_id: 'one', command: [] }],
    ['invalid_input', 'workspace_exec', { workspace_id: 'one', command: 'true', cwd: 'src' }],
    ['invalid_input', 'workspace_exec', { workspace_id: 'one', command: 'a\0b' }],
    ['invalid_input', 'workspace_exec', { workspace_id: 'one', command: 'true', env: { '1X': 'y' } }],
    ['job_not_found', 'workspace_job_read', { workspace_id: 'one', job_id: 'job-999' }],
    ['environment_not_found', 'env_inspect', { environment: 'nowhere' }],
    [
      'path_outside_workspace',
      'workspace_export',
      { workspace_id: 'one', path: '/etc/passwd', output_path: '/tmp/x' },
    ],
  ])('%s from %s %j', async (code, name, input) => {
    expect((await refusal(engine, name, input as never)).code).toBe(code)
  })
  test('a cursor beyond the end', async () => {
    const done = await engine.call('workspace_exec', { workspace_id: id, command: 'echo hi' })
    const input = { workspace_id: id, job_id: done.job_id, stdout_cursor: 100 }
    expect((await refusal(engine, 'workspace_job_read', input)).code).toBe('bad_cursor')
  })
  test('input for a command that takes none', async () => {
    const begun = await engine.call('workspace_exec', { workspace_id: id, command: 'sleep 30', wait_ms: 0 })
    const job = { workspace_id: id, job_id: begun.job_id }
    expect((await refusal(engine, 'workspace_job_write', { ...job, data: 'x' })).code).toBe('stdin_closed')
    await engine.call('workspace_job_kill', { ...job, grace_ms: 0 })
  })
  test('a wedged sandbox hangs neither list nor status', async () => {
    const { workspace_id } = await engine.call('workspace_create', { environment: 'host' })
    const [init] = processesNaming('/run/pyro/guest init').slice(-1)
    const pid = Number(init?.split(' ')[0])
    process.kill(pid, 'SIGSTOP')
    try {
      const from = performance.now()
      await engine.call('workspace_list', {})
      await engine.call('workspace_status', { workspace_id })
      expect(performance.now() - from).toBeLessThan(2000)
    } finally {
      process.kill(pid, 'SIGCONT')
    }
    await engine.call('workspace_delete', { workspace_id })
  })
})

test('ten engines at once: one serves, the others leave', async () => {
  const folder = newFolder()
  const children = Array.from({ length: 10 }, () =>
    spawn(process.execPath, [join(ROOT, 'src/wiring/daemon.ts')], {
      env: engineEnv(folder),
      stdio: 'ignore',
    }),
  )
  const ends = children.map((child) => new Promise<number | null>((done) => child.once('exit', done)))
  await expect
    .poll(() => children.filter(({ exitCode }) => exitCode === null).length, { timeout: 20_000 })
    .toBe(1)
  const survivor = children.find(({ exitCode }) => exitCode === null)!
  survivor.kill('SIGTERM')
  expect(await Promise.all(ends)).toEqual(Array(10).fill(0))
  expect(processesNaming(folder)).toEqual([])
  removeFolder(folder)
})

test('a runtime that is not there', async () => {
  const engine = await startEngine({ env: { PYRO_OCI_RUNTIME: '/no/such/runtime' } })
  const body = await refusal(engine, 'workspace_create', { environment: 'host' })
  expect(body).toMatchObject({ code: 'runtime_missing', retryable: false })
  expect(body.hint).toMatch(/install/i)
  expect(left(engine.folder)).toEqual([])
  expect(await engine.call('doctor', {})).toMatchObject({ ok: false })
  await engine.stop()
  removeFolder(engine.folder)
})

test('a runtime that always fails', async () => {
  const engine = await startEngine({ env: { PYRO_OCI_RUNTIME: '/bin/false' } })
  expect((await refusal(engine, 'workspace_create', { environment: 'host' })).code).toBe('runtime_failed')
  expect((await engine.call('workspace_list', {})).workspaces).toEqual([])
  expect(left(engine.folder)).toEqual([])
  await engine.stop()
  expect(processesNaming(engine.folder)).toEqual([])
  removeFolder(engine.folder)
})

test('a native binary that is not there', async () => {
  await expect(startEngine({ env: { PYRO_NATIVE: '/no/such/binary' } })).rejects.toThrow(/native_missing/)
})

describe.skipIf(!isRoot)('file systems (needs root to mount them)', () => {
  const mounted: string[] = []
  afterAll(() => {
    for (const path of mounted.reverse()) execFileSync('umount', ['-l', path])
  })

  test('PYRO_HOME on an overlay', async () => {
    const folder = newFolder()
    for (const name of ['l', 'u', 'w']) mkdirSync(join(folder, name))
    const options = `lowerdir=${folder}/l,upperdir=${folder}/u,workdir=${folder}/w`
    execFileSync('mount', ['-t', 'overlay', 'overlay', '-o', options, join(folder, 'home')])
    mounted.push(join(folder, 'home'))
    const engine = await startEngine({ folder })
    const body = await refusal(engine, 'workspace_create', { environment: 'host' })
    expect(body).toMatchObject({ code: 'home_unsuitable' })
    expect(body.message).toMatch(/overlay/)
    expect(body.hint).toMatch(/PYRO_HOME/)
    expect(left(folder)).toEqual([])
    await engine.stop()
    execFileSync('umount', [mounted.pop()!])
    removeFolder(folder)
  })

  test('a full disk: the seed does not fit, and nothing of it is left', async () => {
    const folder = newFolder()
    const image = join(folder, 'disk')
    execFileSync('truncate', ['-s', '64M', image])
    execFileSync('mkfs.ext4', ['-q', '-F', image])
    execFileSync('mount', ['-o', 'loop', image, join(folder, 'home')])
    mounted.push(join(folder, 'home'))
    mkdirSync(join(folder, 'big'))
    for (let i = 0; i < 100; i++) appendFileSync(join(folder, 'big/file'), Buffer.alloc(1 << 20, i + 1))
    const engine = await startEngine({ folder })
    const body = await refusal(engine, 'workspace_create', {
      environment: 'host',
      seed_path: join(folder, 'big'),
    })
    expect(body).toMatchObject({ code: 'disk_full', retryable: false })
    expect(left(folder)).toEqual([])
    const { workspace_id } = await engine.call('workspace_create', { environment: 'host' })
    expect((await engine.call('workspace_exec', { workspace_id, command: 'echo ok' })).stdout).toBe('ok\n')
    await engine.stop()
    expect(mountsBelow(join(folder, 'home/'))).toEqual([])
    execFileSync('umount', [mounted.pop()!])
    removeFolder(folder)
  })
})
