/** The host's half of the handshake, against guests that are late, noisy, old or hostile. */
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, afterEach, expect, test } from 'vitest'
import { KIND, openSession, record } from '../../src/channel/session.ts'

const folder = mkdtempSync(join(tmpdir(), 'pyro-session-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))
const servers: Server[] = []
afterEach(() => {
  for (const server of servers.splice(0)) server.close()
})
let count = 0

/** A stream whose other end is the given guest. */
async function to(guest: (port: Socket) => void): Promise<Socket> {
  const path = join(folder, `${count++}.sock`)
  const server = createServer((port) => {
    port.on('error', () => {})
    guest(port)
  })
  servers.push(server)
  await new Promise<void>((resolve) => server.listen(path, resolve))
  return connect(path)
}

const SIZE = 40
/** The guest's half as the protocol says, with room for mischief before each answer. */
function honest(port: Socket, { delayMs = 0, before = Buffer.alloc(0), after = Buffer.alloc(0) } = {}): void {
  let seen = Buffer.alloc(0)
  let last: Buffer | undefined
  setTimeout(() => {
    port.on('data', (bytes: Buffer) => {
      seen = Buffer.concat([seen, bytes])
      for (; seen.length >= SIZE; seen = seen.subarray(SIZE)) {
        const nonce = seen.subarray(24, SIZE)
        if (seen[16] === KIND.syn) {
          last = Buffer.from(nonce)
          port.write(Buffer.concat([before, record(KIND.ack, last)]))
        } else if (seen[16] === KIND.go && last?.equals(nonce))
          port.write(Buffer.concat([record(KIND.ready, last), after]))
      }
    })
  }, delayMs)
}

const read = (stream: Socket) =>
  new Promise<string>((resolve) => {
    stream.once('data', (bytes) => resolve(bytes.toString()))
    stream.resume()
  })

test('a guest that answers has a session, and its first bytes are not lost', async () => {
  const stream = await openSession(await to((port) => honest(port, { after: Buffer.from('first') })), {
    timeoutMs: 5000,
  })
  expect(await read(stream)).toBe('first')
  stream.destroy()
})

test('a guest that boots late gets several calls and one session', async () => {
  const stream = await openSession(
    await to((port) => honest(port, { delayMs: 400, after: Buffer.from('x') })),
    { timeoutMs: 5000 },
  )
  expect(await read(stream)).toBe('x')
  stream.destroy()
})

test('bytes and records of dead sessions are dropped, also torn ones', async () => {
  const old = Buffer.alloc(16, 7)
  const noise = Buffer.concat([
    Buffer.from('PRI * HTTP/2.0\r\n'),
    record(KIND.ready, old),
    record(KIND.ack, old),
    record(KIND.ack, old).subarray(0, 23),
    Buffer.alloc(100_000, 0x70),
  ])
  const stream = await openSession(
    await to((port) => honest(port, { before: noise, after: Buffer.from('y') })),
    { timeoutMs: 5000 },
  )
  expect(await read(stream)).toBe('y')
  stream.destroy()
})

test.each<[string, (port: Socket) => void, RegExp]>([
  ['says nothing', () => {}, /no session within/],
  ['hangs up', (port) => port.destroy(), /closed|ECONNRESET|EPIPE/],
  ['floods', flood, /belongs to no session/],
  [
    'answers for another nonce',
    (port) => void port.write(record(KIND.ready, Buffer.alloc(16))),
    /no session/,
  ],
])('a guest that %s is given up, and the stream closed', async (_name, guest, message) => {
  const stream = await to(guest)
  await expect(openSession(stream, { timeoutMs: guest === flood ? 20_000 : 700 })).rejects.toThrow(message)
  expect(stream.destroyed).toBe(true)
})

function flood(port: Socket): void {
  const block = Buffer.alloc(1 << 20, 0x61)
  const more = () => {
    while (!port.destroyed && port.write(block));
  }
  port.on('drain', more)
  more()
}
