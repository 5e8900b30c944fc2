// The API on an address, and what it does with those who may not ask: raw bytes over real connections.
import { type Socket, connect } from 'node:net'
import { networkInterfaces } from 'node:os'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { openNetwork } from '../../src/surface/http/network.ts'
import { asking, closed, raw, type TestNetwork, testNetwork } from './network.ts'
import { until } from './table.ts'

let on: TestNetwork
const PAGE = 'https://page.example'
beforeAll(async () => {
  on = await testNetwork({}, { allowed_hosts: ['tunnel.example'], allowed_origins: [PAGE] })
})
afterAll(async () => {
  await on[Symbol.asyncDispose]()
})
const ask = (headers?: Parameters<typeof asking>[1], line?: string) =>
  raw(on.server.port, asking(on.token, headers, line))

test('who has the token is answered, with the version and no date', async () => {
  const answer = await ask()
  expect(answer.status).toBe(200)
  expect(JSON.parse(answer.body).environments[0].name).toBe('host')
  expect(answer.head).toContain('pyro-version: 9.9.9')
  expect(answer.head).not.toMatch(/^date:|access-control/m)
})

describe('the token', () => {
  test.each<[string, string | string[] | null, RegExp]>([
    ['none', null, /no bearer token/],
    ['another', 'Bearer pyro_0000000000000000000000000000000000000000000', /not the one/],
    ['an empty one', 'Bearer ', /not the one/],
    ['a part of it', 'Bearer PART', /not the one/],
    ['more than it', 'Bearer MORE', /not the one/],
    ['another scheme', 'Basic TOKEN', /not the one/],
    ['no scheme', 'TOKEN', /not the one/],
    ['two, one of them right', ['Bearer TOKEN', 'Bearer wrong'], /not the one/],
    ['two in one', 'Bearer TOKEN, Bearer TOKEN', /not the one/],
  ])('%s', async (_what, given, message) => {
    const filled = (text: string) =>
      text
        .replace('PART', on.token.slice(0, -1))
        .replace('MORE', `${on.token}x`)
        .replaceAll('TOKEN', on.token)
    const authorization = given === null ? null : [given].flat().map(filled)
    const answer = await ask({ authorization })
    expect(answer.status).toBe(401)
    expect(answer.error).toMatchObject({ code: 'unauthorized', message: expect.stringMatching(message) })
    expect(answer.head).toMatch(
      given === null
        ? /www-authenticate: bearer realm="pyro"$/m
        : /www-authenticate: .*error="invalid_token"$/m,
    )
    expect(answer.head).toContain('connection: close')
    expect(answer.head).not.toContain('pyro-version')
    expect(answer.head + answer.body).not.toContain(on.token)
  })

  test('its scheme is read as RFC 6750 has it', async () => {
    expect((await ask({ authorization: `bearer   ${on.token} ` })).status).toBe(200)
  })

  test.each(['/openapi.json', '/v1/openapi.json', '/', '/mcp', '/v1/constructor'])(
    'nothing is at %s without it',
    async (path) => {
      expect(
        (await ask({ authorization: null, 'content-length': null }, `GET ${path} HTTP/1.1`)).status,
      ).toBe(401)
    },
  )

  test('guesses are answered one after another, and the right one waits for none of them', async () => {
    const guesses = Array.from({ length: 8 }, () => ask({ authorization: 'Bearer guess' }))
    const order: string[] = []
    const all = guesses.map((guess) => guess.then(() => order.push('guess')))
    await new Promise((resolve) => setTimeout(resolve, 30))
    expect((await ask()).status).toBe(200)
    order.push('right')
    await Promise.all(all)
    expect(order.indexOf('right')).toBeLessThan(4)
    // Beyond those that may wait nobody is answered at all.
    const many = await Promise.all(Array.from({ length: 50 }, () => ask({ authorization: 'Bearer guess' })))
    expect(many.filter(({ status }) => status === 401).length).toBeGreaterThan(0)
    expect(many.filter(({ status }) => status === 0).length).toBeGreaterThan(0)
    expect((await ask()).status).toBe(200)
  }, 30_000)
})

describe('the Host', () => {
  test.each(['localhost', 'LOCALHOST:1234', '127.0.0.1', '127.0.0.1:80', '[::1]:7796', 'tunnel.example'])(
    '%s is answered',
    async (host) => {
      expect((await ask({ host })).status).toBe(200)
    },
  )
  test.each<[string, string | string[] | null]>([
    ['a name that was made to point here', 'evil.example'],
    ['one that begins like ours', 'localhost.evil.example'],
    ['one that ends like ours', 'evil-localhost'],
    ['below an allowed one', 'a.tunnel.example'],
    ['an address of another machine', '10.1.2.3'],
    ['a user before it', 'localhost@evil.example'],
    ['nothing', ''],
    ['none', null],
    ['two', ['localhost', 'evil.example']],
    ['two that are right', ['localhost', 'localhost']],
    ['a list', 'localhost, evil.example'],
    ['a number for an address', '2130706433'],
  ])('%s is refused, whatever the token', async (_what, host) => {
    for (const authorization of [`Bearer ${on.token}`, null]) {
      const answer = await ask({ host, authorization })
      expect([answer.status, answer.error?.code]).toEqual([403, 'forbidden'])
    }
  })
  test('a whole URL as the target is no way round it', async () => {
    const answer = await ask({ host: 'evil.example' }, 'POST http://localhost/v1/env_list HTTP/1.1')
    expect(answer.status).toBe(403)
    expect((await ask({}, 'POST http://evil.example/v1/env_list HTTP/1.1')).status).toBe(404)
  })
  test('HTTP/1.0 has to name it too', async () => {
    expect((await ask({ host: null }, 'POST /v1/env_list HTTP/1.0')).status).toBe(403)
    expect((await ask({}, 'POST /v1/env_list HTTP/1.0')).status).toBe(200)
  })
})

describe('the Origin', () => {
  test.each<[string, string | string[]]>([
    ['another page', 'https://evil.example'],
    ['a page of this machine', 'http://localhost:3000'],
    ['the engine as a page', 'http://localhost'],
    ['one that begins alike', `${PAGE}.evil.example`],
    ['another scheme', PAGE.replace('https', 'http')],
    ['another port', `${PAGE}:8443`],
    ['none that can be told', 'null'],
    ['an empty one', ''],
    ['two', [PAGE, 'https://evil.example']],
    ['two alike', [PAGE, PAGE]],
  ])('%s is refused', async (_what, origin) => {
    const answer = await ask({ origin })
    expect([answer.status, answer.error?.code]).toEqual([403, 'forbidden'])
    expect(answer.head).not.toContain('access-control')
    const before = await ask(
      { origin, authorization: null, 'access-control-request-method': 'POST' },
      'OPTIONS /v1/env_list HTTP/1.1',
    )
    expect(before.status).toBe(403)
  })

  test('an allowed page is told so beforehand without a token, and asks with one', async () => {
    const before = await ask(
      {
        origin: PAGE,
        authorization: null,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'authorization,content-type',
        'access-control-request-private-network': 'true',
      },
      'OPTIONS /v1/env_list HTTP/1.1',
    )
    expect(before.status).toBe(204)
    expect(before.head).toMatch(/access-control-allow-headers: .*authorization/)
    expect(before.head).toContain('access-control-allow-private-network: true')
    const answer = await ask({ origin: PAGE })
    expect(answer.status).toBe(200)
    expect(answer.head).toContain(`access-control-allow-origin: ${PAGE}`)
    expect(answer.head).toContain('vary: origin')
    expect(answer.head).not.toContain('allow-credentials')
    const refused = await ask({ origin: PAGE, authorization: null })
    expect([refused.status, refused.head.includes('access-control-allow-origin')]).toEqual([401, true])
    // Without what a browser asks beforehand, OPTIONS is a request like any other.
    expect((await ask({ origin: PAGE, authorization: null }, 'OPTIONS /v1/env_list HTTP/1.1')).status).toBe(
      401,
    )
  })

  test('what is allowed can change while it listens', async () => {
    await using other = await testNetwork()
    const from = () => raw(other.server.port, asking(other.token, { origin: PAGE }))
    expect((await from()).status).toBe(403)
    other.server.allow({ allowed_hosts: [], allowed_origins: [PAGE] })
    expect((await from()).status).toBe(200)
  })
})

describe('what is no good HTTP', () => {
  test.each<[string, (token: string) => string | Buffer, number]>([
    ['no HTTP at all', () => 'hello\r\n\r\n', 400],
    ['TLS', () => Buffer.from('16030100a5010000a10303', 'hex'), 400],
    ['HTTP/2', () => 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
    ['endless headers', (token) => asking(token, { a: 'x'.repeat(20_000) }), 431],
    ['many headers', (token) => asking(token, { a: Array.from({ length: 6000 }, () => 'b') }), 431],
    ['two lengths', (token) => asking(token, { 'content-length': ['2', '3'] }), 400],
    ['a length and chunks', (token) => asking(token, { 'transfer-encoding': 'chunked' }), 400],
    ['a length that is none', (token) => asking(token, { 'content-length': '+2' }), 400],
    [
      'a chunk after a chunk that lies',
      (token) =>
        asking(token, { 'content-length': null, 'transfer-encoding': 'chunked' }).replace(
          /\{\}$/,
          'fffffffffffffffff\r\n{}',
        ),
      400,
    ],
    [
      'chunks in another coding',
      (token) => asking(token, { 'content-length': null, 'transfer-encoding': 'chunked, identity' }),
      400,
    ],
    ['a space before the colon', (token) => asking(token).replace('host:', 'host :'), 400],
    ['a folded header', (token) => asking(token, { a: 'b\r\n c' }), 400],
    ['a bare line feed in the headers', (token) => asking(token).replace('\r\nhost', '\nhost'), 400],
    ['NUL in a header', (token) => asking(token, { a: 'b\0c' }), 400],
  ])('%s', async (_what, bytes, status) => {
    const answer = await raw(on.server.port, bytes(on.token))
    expect(answer.status).toBe(status)
    expect(answer.error?.code).toBe('invalid_input')
    expect((await ask()).status).toBe(200)
  })

  test('a second request behind one that lies about its length is not taken for one', async () => {
    const hidden = asking(on.token, {}, 'POST /v1/doctor HTTP/1.1')
    const answer = await raw(
      on.server.port,
      asking(on.token, { 'content-length': ['2', String(2 + hidden.length)] }) + hidden,
    )
    expect([answer.status, on.at.pending.length]).toEqual([400, 0])
  })

  test('a connection is for one who asks well: after a refusal nothing more is read from it', async () => {
    const bytes = asking('wrong', { connection: 'keep-alive' }) + asking(on.token)
    const answer = await raw(on.server.port, bytes)
    expect(answer.status).toBe(401)
    expect(answer.body).not.toContain('environments')
  })

  test('CONNECT, TRACE and an upgrade lead nowhere', async () => {
    expect((await ask({}, 'TRACE /v1/env_list HTTP/1.1')).status).toBe(400)
    expect((await ask({ upgrade: 'websocket', connection: 'upgrade' })).status).toBe(200)
    expect((await ask({}, 'CONNECT localhost:22 HTTP/1.1')).status).toBe(0)
  })
})

describe('bounds', () => {
  test('a body beyond the bound is refused when it is announced, and read no further when it is not', async () => {
    const announced = await ask({ 'content-length': String(64 * 1_048_576) })
    expect(announced.error?.message).toMatch(/larger than 8388608 bytes/)
    const connection = connect(on.server.port, '127.0.0.1')
    let answer = ''
    connection.on('data', (part) => (answer += part)).on('error', () => {})
    const head = asking(on.token, { 'content-length': null, 'transfer-encoding': 'chunked' })
    connection.write(head.replace(/\{\}$/, ''))
    const megabyte = `100000\r\n${' '.repeat(1_048_576)}\r\n`
    for (let i = 0; i < 40 && !connection.destroyed; i++) connection.write(megabyte)
    await until(() => connection.destroyed || answer.includes('larger than'))
    await closed(connection)
    expect(connection.bytesWritten).toBeLessThan(60 * 1_048_576)
  })

  test('without the token no body is asked for, and none is read', async () => {
    const headers = { expect: '100-continue', 'content-length': '1000000' }
    const bytes = asking('wrong', headers).replace(/\{\}$/, '')
    const answer = await raw(on.server.port, bytes)
    expect(answer.status).toBe(401)
    const right = await raw(on.server.port, asking(on.token, { expect: '100-continue' }))
    expect(right.status).toBe(100)
    expect(right.body).toContain('200 OK')
  })

  test('headers that trickle in are waited for 10 seconds, a body 60', async () => {
    const connection = connect(on.server.port, '127.0.0.1')
    let said = ''
    connection.on('data', (part) => (said += part)).on('error', () => {})
    connection.write('POST /v1/env_list HTTP/1.1\r\nhost: localhost\r\n')
    const drip = setInterval(() => connection.write('a: b\r\n'), 200)
    const silent = connect(on.server.port, '127.0.0.1')
      .on('error', () => {})
      .resume()
    const began = performance.now()
    await Promise.all([closed(connection), closed(silent)])
    clearInterval(drip)
    expect(performance.now() - began).toBeLessThan(20_000)
    expect(said).toMatch(/^HTTP\/1\.1 408 /)
    expect(on.server.server.requestTimeout).toBe(60_000)
  }, 40_000)

  test('those who say nothing cannot keep out one who has the token', async () => {
    const silent = Array.from({ length: 200 }, () =>
      connect(on.server.port, '127.0.0.1')
        .on('error', () => {})
        .resume(),
    )
    await until(() => silent.filter(({ destroyed }) => destroyed).length >= 130)
    const answers = await Promise.all(Array.from({ length: 20 }, () => ask()))
    expect(answers.map(({ status }) => status)).toEqual(answers.map(() => 200))
    for (const connection of silent) connection.destroy()
  }, 30_000)

  test('an answer that nobody reads is not kept for ever', async () => {
    const description = 'x'.repeat(32 * 1_048_576)
    const large = { name: 'host', description, backends: ['oci'], state: 'warm' as const, reason: null }
    await using other = await testNetwork(
      { env_list: async () => ({ environments: [large] }) },
      { stallMs: 500 },
    )
    const connection = connect(other.server.port, '127.0.0.1').on('error', () => {})
    connection.write(asking(other.token, { connection: 'keep-alive' }))
    connection.pause()
    const open = () =>
      new Promise<number>((resolve) => other.server.server.getConnections((_, n) => resolve(n)))
    await expect.poll(open).toBe(1)
    await expect.poll(open, { timeout: 30_000 }).toBe(0)
    connection.destroy()
    // Who reads, however slowly, is given all of it.
    const slow = connect(other.server.port, '127.0.0.1').on('error', () => {})
    slow.write(asking(other.token))
    let bytes = 0
    slow.on('data', (part) => {
      bytes += part.length
      slow.pause()
      setTimeout(() => slow.resume(), 2)
    })
    await closed(slow)
    expect(bytes).toBeGreaterThan(32 * 1_048_576)
  }, 60_000)

  test('of connections with the token there are 256, and a place that is left is free again', async () => {
    await using other = await testNetwork()
    const keep = asking(other.token, { connection: 'keep-alive' })
    const held: Socket[] = []
    const open = async () => {
      const connection = connect(other.server.port, '127.0.0.1').on('error', () => {})
      held.push(connection)
      connection.write(keep)
      return await new Promise<string>((resolve) =>
        connection.once('data', (part) => resolve(part.toString())),
      )
    }
    while (held.length < 256) expect(await open()).toMatch(/^HTTP\/1\.1 200/)
    expect(await open()).toMatch(/^HTTP\/1\.1 503[\s\S]*too_many_connections/)
    held[0]!.destroy()
    await until(() => held[256]!.destroyed)
    await expect.poll(open).toMatch(/^HTTP\/1\.1 200/)
    for (const connection of held) connection.destroy()
  }, 30_000)
})

describe('calls', () => {
  test('progress comes in lines as it does over the socket, and whoever leaves aborts the call', async () => {
    const bytes = asking(on.token, { accept: 'application/x-ndjson' }, 'POST /v1/doctor HTTP/1.1')
    const connection = connect(on.server.port, '127.0.0.1').on('error', () => {})
    let said = ''
    connection.on('data', (part) => (said += part))
    connection.write(bytes)
    await until(() => said.includes('{"progress":{"kind":"step","text":"looking"}}'))
    const { context } = on.at.pending.at(-1)!
    expect(context.signal.aborted).toBe(false)
    connection.destroy()
    await until(() => context.signal.aborted)
    on.at.pending.at(-1)!.finish()
  })

  test.each(['daemon_stop', 'daemon_listen', 'daemon_token'])(
    '%s is for this machine alone',
    async (name) => {
      const answer = await ask({}, `POST /v1/${name} HTTP/1.1`)
      expect([answer.status, answer.error?.code]).toEqual([403, 'local_only'])
    },
  )

  test('nothing that was refused left a line with a token', () => {
    expect(JSON.stringify(on.logged)).not.toContain(on.token)
  })

  test('every connection can be ended at once', async () => {
    await using other = await testNetwork()
    const connection = connect(other.server.port, '127.0.0.1').on('error', () => {})
    connection.write(asking(other.token, { connection: 'keep-alive' }))
    await new Promise((resolve) => connection.once('data', resolve))
    other.server.dropAll()
    await closed(connection)
    expect((await raw(other.server.port, asking(other.token))).status).toBe(200)
  })
})

describe('addresses', () => {
  const options = { allowed_hosts: [], allowed_origins: [], token: () => 't', route() {}, log() {} }

  test('one that is taken, and one that is not of this machine', async () => {
    await expect(openNetwork({ ...options, host: '127.0.0.1', port: on.server.port })).rejects.toMatchObject({
      code: 'address_unavailable',
      message: expect.stringContaining('something else listens there'),
    })
    await expect(openNetwork({ ...options, host: '192.0.2.1', port: 0 })).rejects.toMatchObject({
      code: 'address_unavailable',
      message: expect.stringContaining('this machine does not have the address'),
    })
  })

  test('the address itself may be the Host, wherever it listens', async () => {
    await using all = await testNetwork({}, { host: '0.0.0.0' })
    const own = Object.values(networkInterfaces())
      .flatMap((each) => each ?? [])
      .filter(({ family, internal }) => family === 'IPv4' && !internal)
      .map(({ address }) => address)
    for (const address of ['127.0.0.1', '127.0.0.5', ...own]) {
      const asked = (host: string) => raw(all.server.port, asking(all.token, { host }), 5000, address)
      expect((await asked(`${address}:${all.server.port}`)).status).toBe(200)
      expect((await asked('evil.example')).status).toBe(403)
      expect((await asked('203.0.113.9')).status).toBe(403)
    }
  })

  test('IPv6', async () => {
    await using six = await testNetwork({}, { host: '::1' })
    expect((await raw(six.server.port, asking(six.token, { host: '[::1]' }), 5000, '::1')).status).toBe(200)
  })
})
