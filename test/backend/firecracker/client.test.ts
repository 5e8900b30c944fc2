import { rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import { afterEach, expect, test } from 'vitest'
import { firecrackerApi, MAX_BODY } from '../../../src/backend/firecracker/client.ts'
import { newFolder } from '../../support/engine.ts'

let server: Server | undefined
const folder = newFolder()
const path = join(folder, 'a')
const sockets = new Set<Socket>()

/** A server that says what it is told to once a whole request has come. */
function serve(answer: (socket: Socket, request: string) => void): Promise<void> {
  server = createServer((socket) => {
    sockets.add(socket)
    socket.on('error', () => {})
    socket.on('data', (data) => answer(socket, data.toString()))
  })
  return new Promise((done) => server!.listen(path, done))
}
afterEach(async () => {
  for (const socket of sockets) socket.destroy()
  sockets.clear()
  await new Promise((done) => (server ? server.close(done) : done(undefined)))
  rmSync(path, { force: true })
})

const http = (status: string, body: string) =>
  `HTTP/1.1 ${status}\r\nContent-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}`
const start = { action_type: 'InstanceStart' } as const

test('requests go over one connection, with their length', async () => {
  const seen: string[] = []
  await serve((socket, request) => {
    seen.push(request)
    socket.write('HTTP/1.1 204 \r\nServer: Firecracker API\r\nConnection: keep-alive\r\n\r\n')
  })
  const api = firecrackerApi(path)
  await api.put('/actions', start)
  await api.patch('/vm', { state: 'Paused' })
  api.close()
  expect(sockets.size).toBe(1)
  expect(seen[0]).toMatch(/^PUT \/actions HTTP\/1.1\r\n/)
  expect(seen[0]).toContain('content-length: 31')
  expect(seen[0]).toMatch(/\r\n\r\n{"action_type":"InstanceStart"}$/)
  expect(seen[1]).toMatch(/^PATCH \/vm /)
})
test('a refusal carries the reason, made fit for a terminal', async () => {
  await serve((socket) =>
    socket.write(http('400 Bad Request', '{"fault_message":"no\\u001b[31m kernel\\n!"}')),
  )
  const api = firecrackerApi(path)
  await expect(api.put('/actions', start)).rejects.toMatchObject({
    code: 'machine_failed',
    message: 'Firecracker refused PUT /actions: no [31m kernel !',
  })
  api.close()
})
test('the version is read', async () => {
  await serve((socket) => socket.write(http('200 OK', '{"firecracker_version":"1.16.1"}')))
  const api = firecrackerApi(path)
  expect(await api.get('/version')).toEqual({ firecracker_version: '1.16.1' })
  api.close()
})
test.each<[string, string]>([
  ['garbage', '\0\xff not HTTP at all\r\n\r\n'],
  ['an answer to nothing', http('200 OK', '{}')],
  ['a refusal without a reason', http('400 Bad Request', '<html>')],
  ['a reason that is no text', http('400 Bad Request', '{"fault_message":{"a":1}}')],
  ['two lengths', 'HTTP/1.1 204 \r\nContent-Length: 0\r\nContent-Length: 9\r\n\r\n'],
  ['endless headers', `HTTP/1.1 204 \r\n${'X-Y: zzzzzzzzzz\r\n'.repeat(10_000)}\r\n`],
  ['a long reason', http('400 Bad Request', JSON.stringify({ fault_message: 'x'.repeat(100_000) }))],
])('a server that says %s is a failed machine', async (_, said) => {
  await serve((socket) => socket.write(said, 'latin1'))
  const api = firecrackerApi(path)
  const error = await api.put('/actions', start).catch((thrown) => thrown)
  expect(error).toMatchObject({ code: 'machine_failed' })
  expect(error.message.length).toBeLessThan(1200)
  api.close()
})
test('an endless body is cut off', async () => {
  await serve((socket) => {
    socket.write('HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n')
    const more = () => {
      while (!socket.destroyed && socket.write(`1000\r\n${'x'.repeat(4096)}\r\n`)) {}
    }
    socket.on('drain', more)
    more()
  })
  const api = firecrackerApi(path)
  await expect(api.get('/version')).rejects.toMatchObject({ code: 'machine_failed' })
  api.close()
})
test.each<[string, string]>([
  ['nothing', ''],
  ['half an answer', 'HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{'],
])('a server that says %s and hangs is given up', async (_, said) => {
  await serve((socket) => socket.write(said))
  const api = firecrackerApi(path, { timeoutMs: 100 })
  await expect(api.get('/version')).rejects.toMatchObject({ code: 'timed_out' })
  api.close()
})
test('a server that is not there, or goes, is a failed machine', async () => {
  const api = firecrackerApi(path)
  await expect(api.put('/actions', start)).rejects.toMatchObject({ code: 'machine_failed' })
  await serve((socket) => socket.destroy())
  await expect(api.put('/actions', start)).rejects.toMatchObject({ code: 'machine_failed' })
  api.close()
})
test('a cancelled call ends at once', async () => {
  await serve(() => {})
  const stop = new AbortController()
  const api = firecrackerApi(path, { signal: stop.signal })
  setTimeout(() => stop.abort(), 20)
  await expect(api.put('/actions', start)).rejects.toMatchObject({ code: 'cancelled' })
  api.close()
})
test('a request that Firecracker would not take is not sent', async () => {
  const api = firecrackerApi(path)
  const long = { kernel_image_path: 'x'.repeat(MAX_BODY) }
  await expect(api.put('/boot-source', long)).rejects.toMatchObject({ code: 'invalid_input' })
  api.close()
})
