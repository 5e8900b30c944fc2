// The SDK against a real engine: starting it, and commands as live objects.
import { existsSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { PyroError, Pyro } from '../../src/surface/sdk/index.ts'
import { client } from '../../src/surface/sdk/client.ts'
import { engineEnv, newFolder, removeFolder } from '../support/engine.ts'

const folder = newFolder()
const env = engineEnv(folder)
let pyro: Pyro
let workspaceId: string

beforeAll(async () => {
  for (const name of ['PYRO_HOME', 'PYRO_CACHE', 'XDG_RUNTIME_DIR']) process.env[name] = env[name]
  pyro = await Pyro.connect()
  workspaceId = (await pyro.createWorkspace({ environment: 'host' })).workspaceId
}, 60_000)
afterAll(async () => {
  await pyro.stopDaemon({ deleteWorkspaces: true })
  pyro.close()
  removeFolder(folder)
})

async function gather(parts: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const all: Uint8Array[] = []
  for await (const part of parts) all.push(part)
  return Buffer.concat(all)
}

test('ten clients that start at once find one engine', async () => {
  const other = newFolder()
  const clients = await Promise.all(
    Array.from({ length: 10 }, () => Pyro.connect({ home: join(other, 'home') })),
  )
  const pids = await Promise.all(clients.map(async (each) => (await each.statusDaemon()).pid))
  expect(new Set(pids).size).toBe(1)
  await clients[0]!.stopDaemon()
  for (const each of clients) each.close()
  removeFolder(other)
}, 60_000)

test('an engine that cannot start says why', async () => {
  const file = join(folder, 'a-file')
  writeFileSync(file, '')
  const error = await Pyro.connect({ home: join(file, 'home') }).catch((failure) => failure)
  expect(error).toBeInstanceOf(Error)
  rmSync(file)

  const other = newFolder()
  process.env['PYRO_NATIVE'] = '/no/such/binary'
  try {
    await expect(Pyro.connect({ home: join(other, 'home') })).rejects.toMatchObject({
      code: 'native_missing',
      hint: expect.any(String),
    })
  } finally {
    delete process.env['PYRO_NATIVE']
    removeFolder(other)
  }
}, 30_000)

test('an engine that was killed is started again by the next call that reads', async () => {
  const { pid } = await pyro.statusDaemon()
  const job = await pyro.exec(workspaceId, 'for i in 1 2 3 4 5; do echo $i; sleep 0.3; done')
  const reading = gather(job.stdout)
  await sleep(400)
  process.kill(pid!, 'SIGKILL')
  expect((await reading).toString()).toBe('1\n2\n3\n4\n5\n')
  expect(await job.result).toMatchObject({ exitCode: 0, state: 'exited' })
  expect((await pyro.statusDaemon()).pid).not.toBe(pid)
}, 60_000)

test('output comes as it is written, both streams apart, with the result', async () => {
  const job = await pyro.exec(workspaceId, 'echo one; sleep 0.5; echo two >&2; exit 7')
  const seen: string[] = []
  const times: number[] = []
  for await (const { stream, data } of job.output()) {
    seen.push(`${stream} ${Buffer.from(data)}`)
    times.push(performance.now())
  }
  expect(seen).toEqual(['stdout one\n', 'stderr two\n'])
  expect(times[1]! - times[0]!).toBeGreaterThan(300)
  expect(await job.result).toMatchObject({ exitCode: 7, signal: null, timedOut: false, workspaceId })
})

const PROGRAM = (bytes: number) => `import os,random
random.seed(7); left=${bytes}
while left > 0:
    left -= os.write(1, random.randbytes(min(left, 99991)))`

test.each([
  ['a little', 1000],
  ['more than one answer holds', 300_000],
  ['more than is kept', 50_000_000],
])(
  'bytes are the same on both sides: %s',
  async (_what, size) => {
    const { createHash } = await import('node:crypto')
    const job = await pyro.exec(workspaceId, ['python3', '-c', PROGRAM(size)])
    const hash = createHash('sha256')
    let seen = 0
    for await (const part of job.stdout) {
      hash.update(part)
      seen += part.length
    }
    expect(seen).toBe(size)
    expect(job.dropped).toEqual({ stdout: 0, stderr: 0 })
    const inside = await pyro.execWorkspace({
      workspaceId,
      command: `python3 -c '${PROGRAM(size)}' | sha256sum`,
    })
    expect(hash.digest('hex')).toBe(inside.stdout.slice(0, 64))
  },
  60_000,
)

test('without copies a block is valid until the next, and the bytes are the same', async () => {
  const { createHash } = await import('node:crypto')
  const hashes = await Promise.all(
    [true, false].map(async (copy) => {
      const hash = createHash('sha256')
      const job = await pyro.exec(workspaceId, ['python3', '-c', PROGRAM(5_000_000)], { copy })
      for await (const part of job.stdout) hash.update(part)
      return hash.digest('hex')
    }),
  )
  expect(hashes[0]).toBe(hashes[1])
}, 60_000)

test('a reader who is slow loses nothing: the command waits', async () => {
  const job = await pyro.exec(workspaceId, ['head', '-c', '3000000', '/dev/zero'], { spoolBytes: 65_536 })
  let seen = 0
  let slow = 0
  for await (const part of job.stdout) {
    seen += part.length
    if (slow++ < 5) await sleep(200)
  }
  expect([seen, job.dropped.stdout]).toEqual([3_000_000, 0])
}, 60_000)

test('a stream that nobody reads holds nothing up, and its end is still there afterwards', async () => {
  const job = await pyro.exec(workspaceId, 'head -c 1000000 /dev/zero >&2; echo done', { spoolBytes: 65_536 })
  expect((await gather(job.stdout)).toString()).toBe('done\n')
  expect((await job.result).exitCode).toBe(0)
  const stderr = await gather(job.stderr)
  expect(stderr.length + job.dropped.stderr).toBe(1_000_000)
  expect(stderr.length).toBe(65_536)
}, 60_000)

test('a reader who leaves early holds nothing up', async () => {
  const job = await pyro.exec(workspaceId, 'yes | head -c 200000000')
  for await (const _part of job.stdout) break
  expect((await job.result).exitCode).toBe(0)
}, 60_000)

test('a stream is read once', async () => {
  const job = await pyro.exec(workspaceId, 'echo x')
  await gather(job.stdout)
  await expect(gather(job.stdout)).rejects.toThrow(/already being read/)
})

test('input, in text and in bytes', async () => {
  const job = await pyro.exec(workspaceId, ['cat'], { stdinOpen: true })
  await job.write('grüße\n')
  await job.write(Buffer.from([0, 255, 128]), { eof: true })
  expect(await gather(job.stdout)).toEqual(
    Buffer.concat([Buffer.from('grüße\n'), Buffer.from([0, 255, 128])]),
  )
  await expect(job.write('late')).rejects.toMatchObject({ code: 'stdin_closed' })
})

test('kill ends the whole tree; a signal goes to the group', async () => {
  const job = await pyro.exec(workspaceId, 'sleep 100 & sleep 100; echo never')
  expect(await job.kill()).toMatchObject({ signal: 'SIGTERM' })
  expect(await job.result).toMatchObject({ signal: 'SIGTERM', exitCode: null })
  const trapping = await pyro.exec(
    workspaceId,
    'trap "echo caught; exit 9" INT; echo ready; while :; do sleep 0.1; done',
  )
  const parts: string[] = []
  for await (const part of trapping.stdout) {
    parts.push(Buffer.from(part).toString())
    if (parts.length === 1) await trapping.kill({ signal: 'SIGINT' })
  }
  expect(parts.join('')).toBe('ready\ncaught\n')
  expect((await trapping.result).exitCode).toBe(9)
}, 30_000)

test('reading ends with its signal; the command goes on', async () => {
  const leaving = new AbortController()
  const job = await pyro.exec(workspaceId, 'sleep 2; echo after', { signal: leaving.signal })
  const reading = gather(job.stdout)
  setTimeout(() => leaving.abort(), 100)
  await expect(reading).rejects.toMatchObject({ code: 'cancelled' })
  expect((await gather(pyro.attach(workspaceId, job.jobId).stdout)).toString()).toBe('after\n')
})

test('a command in a workspace of its own, whether it says something or not', async () => {
  const talking = await pyro.run('host', 'echo out; exit 4')
  expect((await gather(talking.stdout)).toString()).toBe('out\n')
  expect((await talking.result).exitCode).toBe(4)
  const silent = await pyro.run('host', ['false'])
  expect((await silent.result).exitCode).toBe(1)
  const gone = async () =>
    (await pyro.listWorkspaces()).workspaces.every((each) => each.workspaceId === workspaceId)
  for (let i = 0; i < 50 && !(await gone()); i++) await sleep(100)
  expect(await gone()).toBe(true)
}, 30_000)

test('a command of nobody, and one that is refused', async () => {
  await expect(pyro.exec('nobody', 'true')).rejects.toMatchObject({ code: 'workspace_not_found' })
  await expect(pyro.exec(workspaceId, 'true', { cwd: '/no/such' })).rejects.toMatchObject({
    code: 'cwd_not_found',
  })
  await expect(gather(pyro.attach(workspaceId, 'job-9999').stdout)).rejects.toBeInstanceOf(PyroError)
})

test('nothing listens where an engine was stopped', async () => {
  const other = newFolder()
  using second = await Pyro.connect({ home: join(other, 'home') })
  const { socket } = await second.statusDaemon()
  await second.stopDaemon()
  expect(existsSync(socket)).toBe(false)
  await expect(
    client({ home: join(other, 'home'), autostart: false }).call('workspace_list', {}),
  ).rejects.toMatchObject({ code: 'engine_unreachable' })
  removeFolder(other)
}, 30_000)
