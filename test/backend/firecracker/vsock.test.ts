import { once } from 'node:events'
import { rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import type { Duplex } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { afterEach, expect, test } from 'vitest'
import { dialVsock } from '../../../src/backend/firecracker/vsock.ts'
import { newFolder } from '../../support/engine.ts'

const path = join(newFolder(), 'v')
const sockets = new Set<Socket>()
let server: Server | undefined

/** Firecracker's half: what it does with each connection, by its number from 1 and its first line. */
async function serve(accept: (socket: Socket, attempt: number, line: string) => void): Promise<void> {
  let attempt = 0
  server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    const mine = ++attempt
    let line = Buffer.alloc(0)
    const collect = (bytes: Buffer) => {
      line = Buffer.concat([line, bytes])
      const end = line.indexOf(10)
      if (end < 0) return
      socket.off('data', collect)
      socket.pause()
      if (line.length > end + 1) socket.unshift(line.subarray(end + 1))
      accept(socket, mine, line.toString('latin1', 0, end))
    }
    socket.on('data', collect)
  })
  server.listen(path)
  await once(server, 'listening')
}
afterEach(async () => {
  for (const socket of sockets) socket.destroy()
  sockets.clear()
  await new Promise((done) => (server ? server.close(done) : done(undefined)))
  server = undefined
  rmSync(path, { force: true })
})
const failure = (stream: Duplex) =>
  new Promise<Error & { code?: string }>((done) => stream.once('error', done))

test('bytes go both ways once the guest has accepted; those that come with the answer are kept', async () => {
  await serve((socket, _, line) => {
    expect(line).toBe('CONNECT 1024')
    socket.write('OK 1073741824\nfirst ')
    socket.pipe(socket)
  })
  const stream = dialVsock(path, 1024, { timeoutMs: 2000 })
  stream.end('and back')
  expect((await buffer(stream)).toString()).toBe('first and back')
})
test('the answer may come in pieces', async () => {
  await serve((socket) => {
    for (const [index, byte] of [...'OK 7\nx'].entries()) setTimeout(() => socket.write(byte), index * 5)
    setTimeout(() => socket.end(), 60)
  })
  expect((await buffer(dialVsock(path, 1, { timeoutMs: 2000 }))).toString()).toBe('x')
})
test('nobody listens yet: it tries again, and what was written meanwhile arrives once', async () => {
  await serve((socket, attempt) => {
    if (attempt < 4) socket.destroy()
    else {
      socket.write('OK 1\n')
      socket.pipe(socket)
    }
  })
  const stream = dialVsock(path, 1, { timeoutMs: 2000 })
  stream.end('once')
  expect((await buffer(stream)).toString()).toBe('once')
  expect(sockets.size).toBe(4)
})
test('the socket itself may come late', async () => {
  const stream = dialVsock(path, 1, { timeoutMs: 2000 })
  setTimeout(() => void serve((socket) => socket.end('OK 1\nhere')), 30)
  expect((await buffer(stream)).toString()).toBe('here')
})
test('an attempt that got lost in a starting guest is made again', async () => {
  await serve((socket, attempt) => {
    if (attempt > 1) socket.end('OK 1\nhere')
  })
  const stream = dialVsock(path, 1, { timeoutMs: 2000, attemptMs: 50 })
  expect((await buffer(stream)).toString()).toBe('here')
})
test.each<[string, (socket: Socket) => void]>([
  ['nobody ever listens', (socket) => socket.destroy()],
  ['no answer ever comes', () => {}],
  ['the answer never ends', (socket) => socket.write('OK 1')],
])('it gives up in time when %s', async (_, accept) => {
  await serve(accept)
  const began = performance.now()
  const stream = dialVsock(path, 1, { timeoutMs: 200, attemptMs: 90 })
  stream.on('data', () => {})
  expect(await failure(stream)).toMatchObject({ code: 'guest_unreachable' })
  expect(performance.now() - began).toBeLessThan(1500)
})
test('with no socket at all it gives up too', async () => {
  expect(await failure(dialVsock(path, 1, { timeoutMs: 60 }))).toMatchObject({ code: 'guest_unreachable' })
})
test.each([
  'HTTP/1.1 200 OK\r\n',
  'OK\n',
  'OK x\n',
  'OK -1\n',
  'OK 12345678901\n',
  '\n',
  'x'.repeat(100_000),
  '\0'.repeat(20),
  'NO 1\n',
])('a peer that answers %j is not taken for a machine', async (said) => {
  await serve((socket) => socket.write(said))
  const stream = dialVsock(path, 1, { timeoutMs: 2000 })
  const received: Buffer[] = []
  stream.on('data', (bytes) => received.push(bytes))
  expect(await failure(stream)).toMatchObject({ code: 'guest_unreachable' })
  expect(received).toEqual([])
  expect(sockets.size).toBe(1)
})
test('a slow reader stops the sender; nothing is lost', async () => {
  const total = 32 * 1_048_576
  let sent = 0
  await serve((socket) => {
    const chunk = Buffer.alloc(65_536, 7)
    socket.write('OK 1\n')
    const more = () => {
      while (sent < total) {
        sent += chunk.length
        if (!socket.write(chunk)) return socket.once('drain', more)
      }
      return socket.end()
    }
    more()
  })
  const stream = dialVsock(path, 1, { timeoutMs: 2000 })
  await once(stream, 'readable')
  await new Promise((done) => setTimeout(done, 100))
  expect(sent).toBeLessThan(4 * 1_048_576)
  let received = 0
  for await (const bytes of stream) received += (bytes as Buffer).length
  expect(received).toBe(total)
})
test('a slow peer stops the writer', async () => {
  let peer: Socket | undefined
  await serve((socket) => {
    peer = socket
    socket.write('OK 1\n')
  })
  const stream = dialVsock(path, 1, { timeoutMs: 2000 })
  stream.on('data', () => {})
  let accepted = 0
  const chunk = Buffer.alloc(65_536, 7)
  const more = () => {
    if (accepted < 16 * 1_048_576)
      stream.write(chunk, () => {
        accepted += chunk.length
        more()
      })
    else stream.end()
  }
  more()
  await new Promise((done) => setTimeout(done, 100))
  expect(accepted).toBeLessThan(4 * 1_048_576)
  let received = 0
  peer!.on('data', (bytes) => {
    received += bytes.length
  })
  peer!.resume()
  await once(peer!, 'end')
  expect(received).toBe(16 * 1_048_576)
})
test('a connection that is cut ends the stream; destroying the stream cuts the connection', async () => {
  let peer: Socket | undefined
  await serve((socket) => {
    peer = socket
    socket.write('OK 1\n')
  })
  const cut = dialVsock(path, 1, { timeoutMs: 2000 })
  cut.on('error', () => {})
  cut.resume()
  await new Promise((done) => setTimeout(done, 50))
  peer!.destroy()
  await once(cut, 'close')
  const dropped = dialVsock(path, 1, { timeoutMs: 2000 })
  await new Promise((done) => setTimeout(done, 50))
  peer!.resume()
  dropped.destroy()
  await once(peer!, 'end')
})
test('a stream that is destroyed while it dials leaves nothing', async () => {
  await serve(() => {})
  const stream = dialVsock(path, 1, { timeoutMs: 60_000 })
  await new Promise((done) => setTimeout(done, 30))
  stream.destroy()
  await once([...sockets][0]!.resume(), 'end')
})
