/** Agents that lie: a real HTTP/2 server that answers what no agent should. Only the asking call fails, with a code. */
import { createServer, type Http2Server, type ServerHttp2Stream } from 'node:http2'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer as createSilent } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { type Guest, guest } from '../../src/channel/guest.ts'

let folder: string
let server: Http2Server
let answer: (stream: ServerHttp2Stream, path: string) => void
let client: Guest

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'pyro-guest-'))
  server = createServer()
  server.on('stream', (stream: ServerHttp2Stream, headers) => {
    stream.on('error', () => {})
    answer(stream, String(headers[':path']))
  })
  server.on('session', (session) => session.on('error', () => {}))
  const path = join(folder, 's')
  await new Promise<void>((done) => server.listen(path, done))
  client = guest(() => connect(path))
})
afterEach(async () => {
  client.close()
  await new Promise((done) => server.close(done))
  rmSync(folder, { recursive: true })
})

const status = {
  id: 'job-1',
  state: 'exited',
  pid: 2,
  started_at_ms: 1,
  ended_at_ms: 2,
  exit_code: 0,
  signal: null,
  timed_out: false,
  killed: false,
  duration_ms: 1,
  cpu_ms: 1,
  peak_memory_bytes: 1,
  error: null,
  stdout: { start: 0, end: 3, eof: true },
  stderr: { start: 0, end: 0, eof: true },
  survivors: 0,
}
const reply =
  (value: unknown, code = 200, headers: Record<string, string> = {}) =>
  (stream: ServerHttp2Stream): void => {
    stream.respond({ ':status': code, ...headers })
    stream.end(typeof value === 'string' ? value : JSON.stringify(value))
  }

test('the truth is taken', async () => {
  answer = reply(status)
  expect(await client.wait('job-1', 0, { stdout: 0, stderr: 0 }, false)).toMatchObject({ exit_code: 0 })
  answer = reply('abc', 200, { 'pyro-cursor': '5', 'pyro-end': '8', 'pyro-eof': '1' })
  expect(await client.output('job-1', 'stdout', 5, 100)).toEqual({
    data: Buffer.from('abc'),
    from: 5,
    end: 8,
    eof: true,
  })
})

describe.each([
  ['text', 'not json'],
  ['nothing', ''],
  ['another form', { jobs: 3 }],
  ['a state that is none', { ...status, state: 'flying' }],
  ['an exit code that is none', { ...status, exit_code: 1e9 }],
  ['a stream that ends before it starts', { ...status, stdout: { start: 9, end: 3, eof: true } }],
  ['a negative offset', { ...status, stdout: { start: -9, end: 3, eof: true } }],
  ['an endless message', { ...status, error: { code: 'x', message: 'y'.repeat(100_000) } }],
])('a status that is %s', (_, value) => {
  test('is refused', async () => {
    answer = reply(value)
    await expect(client.wait('job-1', 0, { stdout: 0, stderr: 0 }, false)).rejects.toMatchObject({
      code: 'guest_unreachable',
    })
  })
})

describe.each([
  ['no offsets', {}],
  ['an offset before the cursor', { 'pyro-cursor': '2', 'pyro-end': '9' }],
  ['more data than the stream has', { 'pyro-cursor': '5', 'pyro-end': '6' }],
  ['an offset that is no number', { 'pyro-cursor': 'NaN', 'pyro-end': '9' }],
])('output with %s', (_, headers: Record<string, string>) => {
  test('is refused', async () => {
    answer = reply('abc', 200, headers)
    await expect(client.output('job-1', 'stdout', 5, 100)).rejects.toMatchObject({
      code: 'guest_unreachable',
    })
  })
})

test('an endless answer is cut off at the bound', async () => {
  let sent = 0
  answer = (stream) => {
    stream.respond({ ':status': 200, 'pyro-cursor': '0', 'pyro-end': '99999999' })
    const block = Buffer.alloc(65_536)
    const pump = () => {
      while (!stream.destroyed && stream.write(block)) sent += block.length
    }
    stream.on('drain', pump)
    pump()
  }
  await expect(client.output('job-1', 'stdout', 0, 100_000)).rejects.toThrow(/too long/)
  expect(sent).toBeLessThan(64 * 1_048_576)
})

test('a refusal carries its code when it is one of ours, and nothing else gets through', async () => {
  answer = reply({ code: 'cwd_not_found', message: 'no /x' }, 400)
  await expect(client.hello()).rejects.toMatchObject({ code: 'cwd_not_found' })
  answer = reply({ code: '__proto__', message: 'x' }, 400)
  await expect(client.hello()).rejects.toMatchObject({ code: 'guest_unreachable' })
  answer = reply('<html>', 500)
  await expect(client.hello()).rejects.toMatchObject({ code: 'guest_unreachable' })
})

test('a connection that breaks fails the call, and the next call makes a new one', async () => {
  answer = (stream) => stream.session?.destroy()
  await expect(client.hello()).rejects.toMatchObject({ code: 'guest_unreachable' })
  answer = reply({})
  await expect
    .poll(() =>
      client.hello().then(
        () => true,
        () => false,
      ),
    )
    .toBe(true)
})

test('a ping is answered by the connection alone, and one that nobody answers fails in time', async () => {
  answer = () => expect.unreachable('no request is made')
  await client.ping()
  await Promise.all([client.ping(), client.ping()])
  const silent = createSilent((socket) => socket.resume())
  const path = join(folder, 'silent')
  await new Promise<void>((done) => silent.listen(path, done))
  const other = guest(() => connect(path))
  await expect(other.ping(50)).rejects.toMatchObject({ code: 'guest_unreachable' })
  const waiting = other.ping()
  other.close()
  await expect(waiting).rejects.toMatchObject({ code: 'guest_unreachable' })
  await new Promise((done) => silent.close(done))
  await expect(guest(() => connect(path)).ping()).rejects.toMatchObject({ code: 'guest_unreachable' })
})
