// The HTTP face: what it takes, how it answers, and what it does with a caller who means harm or goes away.
import { type IncomingHttpHeaders, request } from 'node:http'
import { connect } from 'node:net'
import { existsSync, statSync } from 'node:fs'
import { expect, test } from 'vitest'
import { OPERATIONS } from '../../src/contract/table.ts'
import { testServer, until } from './table.ts'

interface Answer {
  status: number
  headers: IncomingHttpHeaders
  body: string
}
interface Sent {
  method?: string
  headers?: Record<string, string>
  body?: string | Buffer
  signal?: AbortSignal
}

function send(
  socketPath: string,
  path: string,
  { method = 'POST', headers, body = '{}', signal }: Sent = {},
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const sent = request({
      socketPath,
      path,
      method,
      headers: headers ?? { 'content-type': 'application/json' },
      ...(signal ? { signal } : {}),
    })
    sent.on('error', reject)
    sent.on('response', (answer) => {
      let text = ''
      answer.setEncoding('utf8').on('data', (part) => (text += part))
      answer.on('end', () => resolve({ status: answer.statusCode!, headers: answer.headers, body: text }))
      answer.on('error', reject)
    })
    sent.end(body)
  })
}
const errorOf = ({ body }: Answer) => JSON.parse(body).error

test('a call is answered with the output, and who answered', async () => {
  await using at = await testServer()
  const answer = await send(at.socket, '/v1/env_list')
  expect(answer.status).toBe(200)
  expect(answer.headers).toMatchObject({ 'content-type': 'application/json', 'pyro-version': '9.9.9' })
  expect(JSON.parse(answer.body).environments[0].name).toBe('host')
  expect((await send(at.socket, '/v1/env_list', { body: '' })).status).toBe(200)
  expect(statSync(at.socket).mode & 0o777).toBe(0o600)
})

test('an error has the status of its code, and all of its body', async () => {
  await using at = await testServer()
  const answer = await send(at.socket, '/v1/workspace_status', { body: '{"workspace_id":"x"}' })
  expect(answer.status).toBe(404)
  expect(errorOf(answer)).toEqual({
    code: 'workspace_not_found',
    message: 'There is no workspace x.',
    hint: 'See pyro workspace list.',
    retryable: false,
  })
})

test.each<[string, string, Sent, number, RegExp]>([
  ['an unknown operation', '/v1/no_such', {}, 404, /No operation is at/],
  ['a name of every object', '/v1/constructor', {}, 404, /No operation is at/],
  ['another path', '/', {}, 404, /No operation is at/],
  ['another method', '/v1/env_list', { method: 'GET' }, 400, /takes POST, not GET/],
  ['no content type', '/v1/env_list', { headers: {} }, 400, /content type must be application\/json/],
  [
    'another content type',
    '/v1/env_list',
    { headers: { 'content-type': 'text/plain' } },
    400,
    /not "text\/plain"/,
  ],
  ['no JSON', '/v1/env_list', { body: '{' }, 400, /not JSON/],
  ['no UTF-8', '/v1/env_list', { body: Buffer.from([0x7b, 0xff, 0x7d]) }, 400, /not UTF-8/],
  ['no object', '/v1/env_list', { body: '[]' }, 400, /The input/],
  ['an unknown field', '/v1/env_list', { body: '{"a":1}' }, 400, /Unknown field "a"\. It takes no fields/],
  ['a prototype', '/v1/env_list', { body: '{"__proto__":{"a":1}}' }, 400, /Unknown field "__proto__"/],
])('refuses %s', async (_what, path, sent, status, message) => {
  await using at = await testServer()
  const answer = await send(at.socket, path, sent)
  expect(answer.status).toBe(status)
  expect(errorOf(answer).message).toMatch(message)
})

test('a body beyond the bound is refused, announced or not, and read no further', async () => {
  await using at = await testServer()
  const headers = { 'content-type': 'application/json', 'content-length': String(64 * 1_048_576) }
  const announced = await new Promise<Answer>((resolve, reject) => {
    const sent = request({ socketPath: at.socket, path: '/v1/env_list', method: 'POST', headers })
    sent.on('error', reject)
    sent.on('response', (answer) => {
      let body = ''
      answer.on('data', (part) => (body += part))
      answer.on('end', () => resolve({ status: answer.statusCode!, headers: answer.headers, body }))
    })
    sent.write('{')
  })
  expect(announced.status).toBe(400)
  expect(errorOf(announced).message).toMatch(/larger than 8388608 bytes/)

  const connection = connect(at.socket)
  let answer = ''
  connection.on('data', (part) => (answer += part))
  connection.on('error', () => {})
  connection.write(
    'POST /v1/env_list HTTP/1.1\r\nhost: pyro\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n',
  )
  const megabyte = `100000\r\n${' '.repeat(1_048_576)}\r\n`
  for (let i = 0; i < 20 && !connection.destroyed; i++) connection.write(megabyte)
  await until(() => connection.destroyed || answer.includes('larger than'))
  connection.destroy()
})

test.each<[string, string]>([
  ['no HTTP at all', 'hello\r\n\r\n'],
  ['endless headers', `POST /v1/env_list HTTP/1.1\r\n${'a: b\r\n'.repeat(5000)}`],
  [
    'two lengths',
    'POST /v1/env_list HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}',
  ],
  [
    'a length and chunks',
    'POST /v1/env_list HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}',
  ],
])('ends the connection on %s', async (_what, bytes) => {
  await using at = await testServer()
  const connection = connect(at.socket)
  connection.on('error', () => {})
  connection.resume()
  connection.write(bytes)
  await until(() => connection.destroyed || connection.closed)
  expect((await send(at.socket, '/v1/env_list')).status).toBe(200)
})

test('lines: progress as it comes, then the result', async () => {
  await using at = await testServer()
  const headers = { 'content-type': 'application/json', accept: 'application/x-ndjson' }
  const answering = send(at.socket, '/v1/doctor', { headers })
  await until(() => at.pending.length === 1)
  at.pending[0]!.context.progress({ kind: 'count', text: 'files', done: 1 })
  at.pending[0]!.finish()
  const { headers: given, body } = await answering
  expect(given['content-type']).toBe('application/x-ndjson')
  expect(
    body
      .trimEnd()
      .split('\n')
      .map((line) => JSON.parse(line)),
  ).toEqual([
    { progress: { kind: 'step', text: 'looking' } },
    { progress: { kind: 'count', text: 'files', done: 1 } },
    { result: { ok: true, environment: null, checks: [] } },
  ])
})

test('lines: an error after progress is the last line, before it has its status', async () => {
  await using at = await testServer()
  const headers = { 'content-type': 'application/json', accept: 'application/x-ndjson' }
  const answering = send(at.socket, '/v1/doctor', { headers })
  await until(() => at.pending.length === 1)
  at.pending[0]!.finish(Object.assign(new Error('no space'), { code: 'ENOSPC' }))
  const lines = (await answering).body.trimEnd().split('\n')
  expect(JSON.parse(lines.at(-1)!).error.code).toBe('disk_full')
  expect((await send(at.socket, '/v1/env_list', { headers, body: '{"a":1}' })).status).toBe(400)
})

test('a caller who goes away aborts the call, and the call counts until its handler has ended', async () => {
  await using at = await testServer()
  const leaving = new AbortController()
  const gone = send(at.socket, '/v1/workspace_delete', {
    body: '{"workspace_id":"x"}',
    signal: leaving.signal,
  })
  gone.catch(() => {})
  await until(() => at.pending.length === 1)
  const { context, finish } = at.pending[0]!
  expect(context.signal.aborted).toBe(false)
  expect(at.server.inFlight()).toBe(1)
  leaving.abort()
  await expect(gone).rejects.toThrow()
  await until(() => context.signal.aborted)
  expect(at.server.inFlight()).toBe(1)
  finish()
  await until(() => at.server.inFlight() === 0)
})

test('a handler that breaks the contract, or fails in some other way, is an internal error', async () => {
  await using at = await testServer({
    env_list: async () => ({ environments: [{ name: 1 }] }) as never,
    workspace_list: async () => {
      throw new TypeError('a bug')
    },
  })
  const broken = await send(at.socket, '/v1/env_list')
  expect([broken.status, errorOf(broken).code]).toEqual([500, 'internal'])
  expect(errorOf(broken).message).toMatch(/env_list answered against its contract: environments\.0\.name/)
  expect(errorOf(await send(at.socket, '/v1/workspace_list'))).toMatchObject({
    code: 'internal',
    message: 'a bug',
    retryable: false,
  })
})

test('closing: reads are told at once, changes may end, nobody new is heard, the socket goes', async () => {
  await using at = await testServer({}, 5000)
  const reading = send(at.socket, '/v1/doctor')
  const changing = send(at.socket, '/v1/workspace_delete', { body: '{"workspace_id":"x"}' })
  await until(() => at.pending.length === 2)
  const closing = at.server.close()
  expect(errorOf(await reading)).toMatchObject({ code: 'engine_stopping', retryable: true })
  await expect(send(at.socket, '/v1/env_list')).rejects.toThrow()
  for (const { finish } of at.pending) finish()
  expect((await changing).status).toBe(200)
  await closing
  expect(existsSync(at.socket)).toBe(false)
})

test('closing does not wait for ever', async () => {
  await using at = await testServer({}, 200)
  const changing = send(at.socket, '/v1/workspace_delete', { body: '{"workspace_id":"x"}' })
  await until(() => at.pending.length === 1)
  await at.server.close()
  expect(errorOf(await changing).code).toBe('engine_stopping')
  expect(at.pending[0]!.context.signal.aborted).toBe(true)
})

test('the OpenAPI document has every operation, and each reference leads somewhere', async () => {
  await using at = await testServer()
  const document = JSON.parse((await send(at.socket, '/v1/openapi.json', { method: 'GET' })).body)
  expect(document.openapi).toBe('3.1.0')
  expect(Object.keys(document.paths)).toEqual(Object.keys(OPERATIONS).map((name) => `/v1/${name}`))
  for (const [, reference] of JSON.stringify(document).matchAll(/"\$ref":"#\/([^"]+)"/g)) {
    const found = reference!
      .split('/')
      .reduce((at: Record<string, never> | undefined, key) => at?.[key], document)
    expect(found, reference).toBeDefined()
  }
})
