/** What happens to commands that nobody waits for, and to what a sandbox says of them. */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { openStore, transaction } from '../../src/store/open.ts'
import { toPyroError } from '../../src/contract/errors.ts'
import { newFolder, type Refused, removeFolder, startEngine, type TestEngine } from '../support/engine.ts'

let engine: TestEngine
let id: string
beforeAll(async () => {
  engine = await startEngine()
  id = (await engine.call('workspace_create', { environment: 'host' })).workspace_id
})
afterAll(async () => {
  await engine.stop()
  removeFolder(engine.folder)
})
const start = (command: string) => engine.call('workspace_exec', { workspace_id: id, command, wait_ms: 0 })
const list = async () => (await engine.call('workspace_job_list', { workspace_id: id })).jobs

test('a command that nobody reads ends in the record', async () => {
  const { job_id } = await start('sleep 0.5; exit 4')
  await expect
    .poll(async () => (await list()).find((job) => job.job_id === job_id), { timeout: 5000 })
    .toMatchObject({
      state: 'exited',
      exit_code: 4,
    })
  expect((await engine.call('workspace_status', { workspace_id: id })).running_job_count).toBe(0)
  expect(readFileSync(join(engine.home, 'engine.log'), 'utf8')).not.toMatch(/watch_retry/)
})

test('a run that outlived its caller is thrown away once its output was read', async () => {
  const begun = await engine.call('run', {
    environment: 'host',
    command: 'sleep 0.5; echo over',
    wait_ms: 100,
  })
  expect(begun).toMatchObject({ state: 'running', deleted: false })
  const job = { workspace_id: begun.workspace_id, job_id: begun.job_id, wait_ms: 5000 }
  let read = await engine.call('workspace_job_read', job)
  while (read.state === 'running') read = await engine.call('workspace_job_read', job)
  expect(read.stdout).toMatchObject({ data: 'over\n', eof: true })
  const workspaces = async () => (await engine.call('workspace_list', {})).workspaces.length
  await expect.poll(workspaces, { timeout: 10_000 }).toBe(1)
})

test('a refusal is an answer, and leaves no job behind', async () => {
  const before = await list()
  const input = { workspace_id: id, command: 'cat', stdin: 'é'.repeat(700_000) }
  const refused = await engine.call('workspace_exec', input).catch((error: Refused) => error)
  expect((refused as Refused).body.code).toBe('invalid_input')
  const { job_id } = await engine.call('workspace_exec', { workspace_id: id, command: 'true' })
  const signalled = await engine
    .call('workspace_job_kill', { workspace_id: id, job_id, signal: 'SIGINT' })
    .catch((error: Refused) => error)
  expect((signalled as Refused).body.code).toBe('job_ended')
  expect(await list()).toHaveLength(before.length + 1)
})

test('much input arrives whole', async () => {
  const begun = await engine.call('workspace_exec', {
    workspace_id: id,
    command: 'wc -c',
    stdin_open: true,
    wait_ms: 0,
  })
  const job = { workspace_id: id, job_id: begun.job_id }
  const data = 'é'.repeat(500_000)
  expect(await engine.call('workspace_job_write', { ...job, data, eof: true })).toMatchObject({
    written: 1_000_000,
  })
  let read = await engine.call('workspace_job_read', { ...job, wait_ms: 5000 })
  while (read.state === 'running') read = await engine.call('workspace_job_read', { ...job, wait_ms: 5000 })
  expect(read.stdout.data).toBe('1000000\n')
})

test('a sandbox that spoils one spool file keeps the history of the others', async () => {
  const spoilt = await engine.call('workspace_exec', { workspace_id: id, command: 'echo first' })
  await engine.call('workspace_exec', { workspace_id: id, command: 'echo second' })
  const file = join(engine.home, 'workspaces', id, 'spool', `${spoilt.job_id}.out`)
  rmSync(file)
  mkdirSync(file)
  const { entries } = await engine.call('workspace_logs', { workspace_id: id, limit: 2 })
  expect(entries.map(({ stdout }) => stdout)).toEqual(['', 'second\n'])
})

test('more changes than are listed are still counted', async () => {
  const { workspace_id } = await engine.call('workspace_create', { environment: 'host' })
  const command = 'mkdir d; cd d; seq 25000 | xargs touch'
  expect(await engine.call('workspace_exec', { workspace_id, command })).toMatchObject({ exit_code: 0 })
  const gone = await engine.call('workspace_delete', { workspace_id })
  expect(gone.changes.added).toBe(25_001)
  expect(gone.never_exported).toMatchObject({ truncated: true })
  expect(gone.never_exported.count).toBeGreaterThan(10_000)
})

test('a log that cannot be written ends nothing', async () => {
  const other = await startEngine()
  const { workspace_id } = await other.call('workspace_create', { environment: 'host' })
  execFileSync('ln', ['-sf', '/dev/full', join(other.home, 'engine.log')])
  expect(await other.call('workspace_exec', { workspace_id, command: 'echo ok' })).toMatchObject({
    stdout: 'ok\n',
  })
  await other.stop()
  expect(readdirSync(join(other.home, 'workspaces'))).toEqual([])
  removeFolder(other.folder)
})

test('a store that is full says disk_full, and keeps what it had', () => {
  const folder = newFolder()
  const db = openStore(join(folder, 'home'))
  db.exec('PRAGMA max_page_count = 40')
  const fill = () =>
    transaction(db, () => {
      db.exec('CREATE TABLE junk (data TEXT)')
      for (let i = 0; i < 1000; i++) db.prepare('INSERT INTO junk VALUES (?)').run('x'.repeat(4096))
    })
  let thrown: unknown
  try {
    fill()
  } catch (error) {
    thrown = error
  }
  expect(toPyroError(thrown).code).toBe('disk_full')
  expect(db.prepare("SELECT count(*) AS n FROM sqlite_master WHERE name = 'junk'").get()).toEqual({ n: 0 })
  db.close()
  expect(existsSync(join(folder, 'home/pyro.db'))).toBe(true)
  removeFolder(folder)
})
