// The address an engine listens on: what is remembered, what is refused, and an engine killed, or a disk full, at every
// record of it.
import {
  chmodSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { type Server, createServer } from 'node:net'
import { join } from 'node:path'
import { afterAll, afterEach, describe, expect, test } from 'vitest'
import { FAULT_POINTS } from '../../src/engine/faults.ts'
import { isLoopback, parseAddress, urlOf } from '../../src/engine/address.ts'
import {
  killEngines,
  Lost,
  newFolder,
  Refused,
  removeFolder,
  startEngine,
  type TestEngine,
} from '../support/engine.ts'

afterEach(killEngines)

async function status(url: string, token: string): Promise<number> {
  const answer = await fetch(`${url}/openapi.json`, { headers: { authorization: `Bearer ${token}` } }).catch(
    () => null,
  )
  await answer?.body?.cancel()
  return answer?.status ?? 0
}
const refusal = (work: Promise<unknown>) =>
  work.then(
    () => expect.unreachable('was not refused'),
    (error: Error) => {
      expect(error).toBeInstanceOf(Refused)
      return (error as Refused).body
    },
  )
function linkAway(path: string): void {
  rmSync(path)
  symlinkSync('/etc/hostname', path)
}
const tokenFile = (engine: TestEngine) => join(engine.home, 'http-token')

describe('addresses', () => {
  test.each<[string, string, number]>([
    ['127.0.0.1:80', '127.0.0.1', 80],
    ['127.0.0.1', '127.0.0.1', 7796],
    ['localhost:8080', '127.0.0.1', 8080],
    ['8080', '127.0.0.1', 8080],
    ['0', '127.0.0.1', 0],
    ['[::1]:8080', '::1', 8080],
    ['[::1]', '::1', 7796],
    ['0.0.0.0:1', '0.0.0.0', 1],
  ])('%s', (text, host, port) => {
    expect(parseAddress(text)).toEqual({ host, port })
  })
  test.each([
    '',
    ':',
    ':80',
    '::1',
    '::1:80',
    '127.0.0.1:',
    '127.0.0.1:99999',
    '127.0.0.1:-1',
    '127.0.0.1:8x',
    '127.1:80',
    'example.org:80',
    'http://127.0.0.1:80',
    '[127.0.0.1]:80x',
    '[::1',
    '/tmp/socket',
    '127.0.0.1:80\n',
    '[fe80::1%lo]:80',
    '999.1.1.1:80',
  ])('%j is none', (text) => {
    expect(() => parseAddress(text)).toThrow(/is no address to listen on/)
  })
  test('what is loopback, and how a client names each', () => {
    expect(['127.0.0.1', '127.9.9.9', '::1'].map(isLoopback)).toEqual([true, true, true])
    expect(['0.0.0.0', '::', '10.0.0.1', '128.0.0.1', '::2', 'fe80::1'].some(isLoopback)).toBe(false)
    expect(urlOf({ host: '0.0.0.0', port: 1 })).toBe('http://127.0.0.1:1')
    expect(urlOf({ host: '::', port: 1 })).toBe('http://[::1]:1')
  })
})

describe('an engine', () => {
  let engine: TestEngine
  const folder = newFolder()
  afterAll(async () => {
    engine = await startEngine({ folder })
    await engine.stop()
    removeFolder(folder)
  })
  const again = async () => {
    await engine.kill()
    engine = await startEngine({ folder })
  }

  test('listens when it is told to, and engines after it do so at the same port', async () => {
    engine = await startEngine({ folder })
    expect((await engine.call('daemon_status', {})).http).toMatchObject({
      listening: false,
      url: null,
      error: null,
    })
    expect(existsSync(tokenFile(engine))).toBe(false)
    const on = await engine.call('daemon_listen', { address: '0', allowed_hosts: ['a.example'] })
    expect(on).toMatchObject({
      listening: true,
      token_file: tokenFile(engine),
      warnings: [],
      mcp_url: `${on.url}/mcp`,
    })
    const { token, rotated } = await engine.call('daemon_token', {})
    expect([token, rotated]).toEqual([readFileSync(tokenFile(engine), 'utf8').trim(), false])
    // 256 bits: 43 characters of 6, the last of them of 4.
    expect(token).toMatch(/^pyro_[A-Za-z0-9_-]{43}$/)
    expect(statSync(tokenFile(engine)).mode & 0o777).toBe(0o600)
    await again()
    await expect.poll(() => status(on.url!, token)).toBe(200)
    expect((await engine.call('daemon_status', {})).http).toMatchObject({
      url: on.url,
      allowed_hosts: ['a.example'],
    })
    await engine.kill()
  })

  test('keeps what is not given, moves, and forgets', async () => {
    engine = await startEngine({ folder })
    const { token } = await engine.call('daemon_token', {})
    const before = (await engine.call('daemon_status', {})).http
    const origins = await engine.call('daemon_listen', {
      allowed_origins: ['https://page.example'],
    })
    expect(origins).toMatchObject({
      url: before.url,
      allowed_hosts: ['a.example'],
      allowed_origins: ['https://page.example'],
    })
    const moved = await engine.call('daemon_listen', { address: '[::1]:0', allowed_hosts: [] })
    expect(moved.url).toMatch(/^http:\/\/\[::1\]:\d+$/)
    expect([await status(before.url!, token), await status(moved.url!, token)]).toEqual([0, 200])
    // From one address to another of the same port, where both at once may not be had.
    const port = new URL(moved.url!).port
    const same = await engine.call('daemon_listen', { address: `127.0.0.1:${port}` })
    expect([await status(moved.url!, token), await status(same.url!, token)]).toEqual([0, 200])
    const off = await engine.call('daemon_listen', { off: true })
    expect(off).toMatchObject({ listening: false, url: null, allowed_origins: [] })
    expect(await status(same.url!, token)).toBe(0)
    await again()
    expect((await engine.call('daemon_status', {})).http.listening).toBe(false)
    await engine.kill()
  })

  test('takes no address but loopback unless it is told so, and then says what that means', async () => {
    engine = await startEngine({ folder })
    for (const address of ['0.0.0.0:0', '[::]:0', '192.0.2.1:0']) {
      const body = await refusal(engine.call('daemon_listen', { address }))
      expect(body).toMatchObject({ code: 'invalid_input', hint: expect.stringMatching(/ssh -L/) })
    }
    expect((await engine.call('daemon_status', {})).http.url).toBeNull()
    const open = await engine.call('daemon_listen', { address: '0.0.0.0:0', allow_remote: true })
    expect(open.warnings.join()).toMatch(/Nothing is encrypted/)
    expect((await engine.call('daemon_listen', { off: true })).warnings).toEqual([])
    await engine.kill()
  })

  test('that cannot have its port says so, goes on, and takes it when it is free', async () => {
    engine = await startEngine({ folder })
    const { url } = await engine.call('daemon_listen', { address: '0' })
    const { token } = await engine.call('daemon_token', {})
    await engine.kill()
    const port = Number(new URL(url!).port)
    const taker: Server = createServer((connection) => connection.destroy())
    await new Promise<void>((resolve) => taker.listen(port, '127.0.0.1', resolve))
    engine = await startEngine({ folder })
    await expect
      .poll(async () => (await engine.call('daemon_status', {})).http)
      .toMatchObject({
        listening: false,
        url,
        error: expect.stringContaining('something else listens there'),
      })
    expect(await refusal(engine.call('daemon_listen', {}))).toMatchObject({ code: 'address_unavailable' })
    await new Promise((resolve) => taker.close(resolve))
    await expect.poll(() => status(url!, token), { timeout: 15_000 }).toBe(200)
    expect((await engine.call('daemon_status', {})).http).toMatchObject({ listening: true, error: null })
    await engine.kill()
  }, 40_000)

  test('stays where it is when the new address cannot be had', async () => {
    engine = await startEngine({ folder })
    const { url } = await engine.call('daemon_listen', { address: '0' })
    const { token } = await engine.call('daemon_token', {})
    const taker: Server = createServer()
    await new Promise<void>((resolve) => taker.listen(0, '127.0.0.1', resolve))
    const taken = (taker.address() as { port: number }).port
    for (const address of [`127.0.0.1:${taken}`, `192.0.2.1:${new URL(url!).port}`]) {
      const body = await refusal(engine.call('daemon_listen', { address, allow_remote: true }))
      expect(body).toMatchObject({ code: 'address_unavailable', hint: expect.any(String) })
      expect(await status(url!, token)).toBe(200)
    }
    taker.close()
    await engine.kill()
  })

  test('stays as long as it listens, though nothing runs', async () => {
    await (await startEngine({ folder })).kill()
    engine = await startEngine({ folder, env: { PYRO_IDLE_SECONDS: '0' } })
    await engine.call('daemon_listen', {})
    await new Promise((resolve) => setTimeout(resolve, 7000))
    expect(engine.process.exitCode).toBeNull()
    await engine.call('daemon_listen', { off: true })
    await expect.poll(() => engine.process.exitCode, { timeout: 15_000 }).toBe(0)
  }, 40_000)

  test('a new token takes the place of the old one at once', async () => {
    engine = await startEngine({ folder })
    const { url } = await engine.call('daemon_listen', { address: '0' })
    const { token: old } = await engine.call('daemon_token', {})
    const { token, rotated } = await engine.call('daemon_token', { rotate: true })
    expect([rotated, token === old, token]).toEqual([
      true,
      false,
      readFileSync(tokenFile(engine), 'utf8').trim(),
    ])
    expect([await status(url!, old), await status(url!, token)]).toEqual([401, 200])
    await again()
    await expect.poll(() => status(url!, token)).toBe(200)
    expect(await status(url!, old)).toBe(401)
    for (const name of readdirSync(engine.home)) {
      const path = join(engine.home, name)
      if (name === 'http-token' || !statSync(path).isFile()) continue
      expect(readFileSync(path, 'latin1'), name).not.toContain(token)
    }
    await engine.kill()
  })

  test.each<[string, (path: string) => void, RegExp]>([
    ['others may read', (path) => chmodSync(path, 0o644), /others may read it/],
    ['is a link', (path) => linkAway(path), /it is a link/],
    ['is empty', (path) => writeFileSync(path, ''), /it holds no token/],
    ['is large', (path) => writeFileSync(path, 'x'.repeat(100_000)), /it holds no token/],
  ])('a token file that %s is not used, until a new one takes its place', async (_what, spoil, why) => {
    engine = await startEngine({ folder })
    await engine.call('daemon_listen', { address: '0' })
    await engine.kill()
    spoil(tokenFile(engine))
    engine = await startEngine({ folder })
    await expect.poll(async () => (await engine.call('daemon_status', {})).http.error).toMatch(why)
    expect(await refusal(engine.call('daemon_token', {}))).toMatchObject({
      code: 'home_unsuitable',
      hint: expect.stringMatching(/--rotate/),
    })
    const { token } = await engine.call('daemon_token', { rotate: true })
    const { http } = await engine.call('daemon_status', {})
    expect(await status(http.url!, token)).toBe(200)
    expect(statSync(tokenFile(engine)).mode & 0o777).toBe(0o600)
    await engine.kill()
  })
})

const POINTS = FAULT_POINTS.filter((point) => /^(listen|token)\./.test(point))

describe.each(POINTS)('%s', (point) => {
  test.each(['kill', 'enospc', 'eio'] as const)(
    '%s',
    async (kind) => {
      const folder = newFolder()
      const first = await startEngine({ folder })
      const before = await first.call('daemon_listen', { address: '0' })
      const { token: old } = await first.call('daemon_token', {})
      await first.kill()

      const armed = await startEngine({ folder, env: { PYRO_FAULT: `${point}:${kind}` } })
      const drive = {
        'listen.outcome': () =>
          armed.call('daemon_listen', { address: '127.0.0.1:0', allowed_hosts: ['new.example'] }),
        'listen.off': () => armed.call('daemon_listen', { off: true }),
        'token.outcome': () => armed.call('daemon_token', { rotate: true }),
      }[point as string]!
      const answer = await drive().catch((error: Error) => error)
      if (kind === 'kill') {
        expect(answer).toBeInstanceOf(Lost)
        expect(await armed.ended).toMatchObject({ signal: 'SIGKILL' })
      } else {
        expect((answer as Refused).body.code).toBe(kind === 'enospc' ? 'disk_full' : 'io_error')
        // What was not recorded is not so: the old address and the old token are good.
        await expect.poll(() => status(before.url!, old)).toBe(200)
        await armed.kill()
      }

      const next = await startEngine({ folder })
      const { http } = await next.call('daemon_status', {})
      const { token } = await next.call('daemon_token', {})
      const wanted = point === 'listen.off' && kind === 'kill' ? null : expect.any(String)
      expect(http.url).toEqual(wanted)
      if (http.url !== null) await expect.poll(() => status(http.url!, token)).toBe(200)
      if (point === 'token.outcome') expect(token === old).toBe(kind !== 'kill')
      if (point === 'listen.outcome')
        expect(http.allowed_hosts).toEqual(kind === 'kill' ? ['new.example'] : [])
      expect(readdirSync(next.home).filter((name) => name.startsWith('http-token'))).toEqual(['http-token'])
      await next.stop()
      removeFolder(folder)
    },
    60_000,
  )
})
