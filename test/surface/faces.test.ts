// Every operation asked through every face: the answers are equal but for ids, times and measurements.
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { OPERATIONS, type OperationName } from '../../src/contract/table.ts'
import type { Pyro } from '../../src/surface/sdk/index.ts'
import { engineEnv, newFolder, removeFolder } from '../support/engine.ts'
import { type Face, cliFace, httpFace, mcpFace, mcpHttpFace, sdkFace } from './faces.ts'

const own = ['PYRO_HOME', 'PYRO_CACHE', 'XDG_RUNTIME_DIR'] as const
const before = Object.fromEntries(own.map((name) => [name, process.env[name]]))
const folder = newFolder()
// A cache of its own: what others build beside this test is nothing that faces could agree on.
const env = engineEnv(folder, { PYRO_CACHE: join(folder, 'cache') })
let faces: Face[]
let pyro: Pyro

beforeAll(async () => {
  for (const name of own) process.env[name] = env[name]
  mkdirSync(join(folder, 'seed'))
  writeFileSync(join(folder, 'seed/a.txt'), 'hello\n')
  const sdk = await sdkFace()
  pyro = sdk.pyro
  // From here on the environment is built, so that whoever asks first sees what the others see.
  await pyro.runInVm({ environment: 'host', command: ['true'] })
  const { url, mcpUrl } = await pyro.listenDaemon({ address: '127.0.0.1:0' })
  const { token } = await pyro.tokenDaemon()
  const tools = { mcpUrl: mcpUrl!, token }
  faces = [
    httpFace(env),
    sdk,
    cliFace(env),
    await mcpFace(env),
    (await sdkFace({ url: url!, token })) as Face,
    await mcpHttpFace(2025, tools),
    await mcpHttpFace(2026, tools),
  ]
}, 30_000)

afterAll(async () => {
  await pyro.stopDaemon({ deleteWorkspaces: true })
  for (const face of faces) await face.close()
  for (const name of own) process.env[name] = before[name]
  removeFolder(folder)
})

/** Times, measurements and names that differ from one asking to the next. */
const VARIES =
  /(_at|_ms|^pid|_pid|_bytes|^message|^why|^detail|^sequence|^job_id|_count|^workspaces|^running_workspaces)$/

function settled(value: unknown, face: string, key = ''): unknown {
  // Workspaces of the other faces are among them, or not yet.
  if (key === 'used_by') return []
  if (Array.isArray(value)) return value.map((item) => settled(item, face, key))
  if (value !== null && typeof value === 'object') {
    return Object.fromEntries(
      Object.entries(value).map(([name, inner]) => [name, settled(inner, face, name)]),
    )
  }
  if (VARIES.test(key) && value !== null) return typeof value
  return typeof value === 'string'
    ? value
        .replace(/ws-[0-9a-z]{10}/g, 'ws-…')
        .replaceAll(`face-${face}`, 'face-…')
        .replace(/job-\d+/g, 'job-…')
    : value
}

type Answers = Partial<Record<OperationName | string, unknown>>

/** What a workspace of this face's own goes through. */
async function life(face: Face): Promise<Answers> {
  const answers: Answers = {}
  const workspace_id = `face-${face.name}`
  const ask = async (
    operation: OperationName,
    input: Record<string, unknown> = {},
    as: string = operation,
  ) => {
    if (face.offers(operation)) answers[as] = settled(await face.ask(operation, input), face.name)
  }
  const labels = { face: workspace_id, 'a_b/c.D': 'kept as it is' }
  await ask('env_list')
  await ask('env_inspect', { environment: 'host' })
  await ask('env_pull', { environment: 'host' })
  await ask('env_prune', { environment: 'debian:12', dry_run: true })
  await ask('prepare', { environment: 'host' })
  await ask('doctor')
  await ask('workspace_create', {
    environment: 'host',
    name: workspace_id,
    seed_path: join(folder, 'seed'),
    labels,
    vcpu_count: 1,
    mem_mib: 256,
  })
  await ask('workspace_list', { labels: { face: workspace_id } })
  await ask('workspace_update', { workspace_id, labels: { more: 'x=y' }, clear_labels: ['a_b/c.D'] })
  await ask('workspace_status', { workspace_id })
  await ask('workspace_exec', {
    workspace_id,
    command: ['sh', '-c', 'cat a.txt; echo "$A_b" >&2; exit 3'],
    env: { A_b: 'from env' },
  })
  await ask(
    'workspace_exec',
    { workspace_id, command: ['sh', '-c', 'kill -9 $$'], timeout_seconds: 20 },
    'exec ended by a signal',
  )

  const { jobId: job_id } = await pyro.execWorkspace({
    workspaceId: workspace_id,
    command: ['cat'],
    stdinOpen: true,
    waitMs: 0,
  })
  await ask('workspace_job_write', { workspace_id, job_id, data: 'grüße\n' })
  await ask('workspace_job_read', { workspace_id, job_id, wait_ms: 5000 })
  await ask('workspace_job_read', { workspace_id, job_id, stdout_cursor: 8, max_bytes: 0 }, 'read positions')
  await ask('workspace_job_list', { workspace_id, running: true })
  await ask('workspace_job_kill', { workspace_id, job_id, grace_ms: 5000 })
  await ask(
    'workspace_job_read',
    { workspace_id, job_id, wait_ms: 5000, stdout_cursor: 8 },
    'read after the end',
  )
  await ask('workspace_logs', { workspace_id, limit: 3 })
  const output_path = join(folder, `out-${face.name}`)
  const exported = { workspace_id, path: 'a.txt', output_path }
  const place = (answer: unknown) => JSON.parse(JSON.stringify(answer).replaceAll(output_path, 'output'))
  await ask('workspace_export', exported)
  await ask('workspace_export', exported, 'export again')
  for (const name of ['workspace_export', 'export again']) answers[name] = place(answers[name])
  await ask('workspace_stop', { workspace_id, grace_ms: 100 })
  await ask('workspace_exec', { workspace_id, command: ['true'] }, 'exec in a stopped one')
  await ask('workspace_start', { workspace_id })
  await ask('workspace_list', { labels: { face: workspace_id }, expired: true }, 'list with the expired')
  await ask('workspace_delete', { workspace_id })
  await ask('run', { environment: 'host', command: ['sh', '-c', 'echo out; exit 4'] })
  await ask('demo', { seed_path: join(folder, 'seed'), command: 'echo demo > DEMO.txt' })
  return answers
}

/** What must be refused, and alike. */
async function refusals(face: Face): Promise<Answers> {
  const answers: Answers = {}
  const ask = async (as: string, operation: OperationName, input: Record<string, unknown>) => {
    const answer = (await face.ask(operation, input)) as { error?: { code?: string } }
    expect(answer.error?.code, `${face.name}: ${as}`).toBeTypeOf('string')
    answers[as] = answer
  }
  await ask('no such workspace', 'workspace_status', { workspace_id: 'nobody' })
  await ask('no such environment', 'env_inspect', { environment: 'nothing' })
  await ask('nothing to pull', 'env_pull', { environment: 'nothing' })
  await ask('no machine of this one', 'env_pull', { environment: 'host', backend: 'qemu' })
  await ask('nothing to prune', 'env_prune', { environment: 'nothing' })
  await ask('a name that is none', 'workspace_create', { environment: 'host', name: 'No Name' })
  await ask('a seed that is not there', 'workspace_create', {
    environment: 'host',
    seed_path: '/no/such/folder',
  })
  await ask('a number out of range', 'workspace_create', { environment: 'host', mem_mib: 1 })
  await ask('a command for nobody', 'workspace_exec', { workspace_id: 'nobody', command: ['true'] })
  await ask('a job of nobody', 'workspace_job_read', { workspace_id: 'nobody', job_id: 'job-1' })
  await ask('an empty id', 'workspace_delete', { workspace_id: '' })
  return answers
}

test('every operation, every face, one answer', async () => {
  const [http, ...others] = await Promise.all(
    faces.map(async (face) => ({ face: face.name, answers: await life(face) })),
  )
  for (const name of Object.keys(OPERATIONS))
    if (!name.startsWith('daemon_')) expect(http!.answers, name).toHaveProperty(name)
  expect(JSON.stringify(http!.answers['workspace_exec'])).toContain('hello')
  for (const { face, answers } of others) {
    for (const [name, answer] of Object.entries(answers))
      expect(answer, `${face}: ${name}`).toEqual(http!.answers[name])
  }
}, 150_000)

test('what is refused is refused alike', async () => {
  const [http, ...others] = await Promise.all(
    faces.map(async (face) => ({ face: face.name, answers: await refusals(face) })),
  )
  for (const { face, answers } of others) expect(answers, face).toEqual(http!.answers)
}, 60_000)

test('the engine says the same of itself, and stops whoever tells it to', async () => {
  for (const operation of ['daemon_status', 'daemon_stop'] as const) {
    const answers = []
    for (const face of faces.filter((each) => each.offers(operation))) {
      await pyro.listWorkspaces()
      answers.push(settled(await face.ask(operation, {}), face.name))
    }
    // Who comes by the address may not stop it.
    expect(answers).toHaveLength(operation === 'daemon_stop' ? 3 : 4)
    for (const answer of answers) expect(answer).toEqual(answers[0])
  }
}, 60_000)
