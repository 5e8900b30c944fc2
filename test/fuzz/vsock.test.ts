/** src/backend/firecracker/vsock.ts: the line before a connection, and the connection after it. */
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'
import { dialVsock } from '../../src/backend/firecracker/vsock.ts'
import { PyroError } from '../../src/contract/errors.ts'
import { corpus, fuzz, within } from './support/fuzz.ts'
import { mutate, pieces } from './support/mutate.ts'

const kept = corpus('vsock')
const folder = mkdtempSync(join(tmpdir(), 'fv-'))
const TIMEOUT_MS = 60
const HONEST = /^OK \d{1,10}\n/

fuzz(
  'vsock: a hostile other side',
  { rounds: 400, beside: 16, after: () => rmSync(folder, { recursive: true, force: true }) },
  async (chance, round) => {
    const said: Buffer[] = []
    const open = new Set<Socket>()
    const path = join(folder, `v${round}`)
    const server = createServer((socket) => {
      open.add(socket)
      socket.on('close', () => open.delete(socket)).on('error', () => {})
      socket.resume()
      const text =
        kept.inputs[round] ?? mutate(chance, chance.pick(kept.inputs), kept.inputs, ['OK ', '\n', '1'])
      said.push(text)
      const end = chance.pick(['end', 'destroy', 'stay'] as const)
      void (async () => {
        for (const part of pieces(chance, text)) {
          if (socket.destroyed) return
          socket.write(part)
          if (text.length < 40 && chance.once(3)) await new Promise((done) => setImmediate(done))
        }
        if (end === 'end') socket.end()
        if (end === 'destroy') socket.destroySoon()
      })()
    })
    server.listen(path)
    await once(server, 'listening')
    const stream = dialVsock(path, 1024, { timeoutMs: TIMEOUT_MS, attemptMs: 20 })
    const received: Buffer[] = []
    let failure: (Error & { code?: string }) | undefined
    stream
      .on('data', (bytes: Buffer) => received.push(bytes))
      .on('error', (error) => {
        failure = error
      })
    stream.write('request')
    const closed = once(stream, 'close').catch(() => {})
    const stays = setTimeout(() => stream.destroy(), TIMEOUT_MS + 100)
    await within(closed, TIMEOUT_MS + 2000, 'the stream')
    clearTimeout(stays)
    // A connection's own end may be a system error; what the line decides is always ours.
    if (failure && !/^(ECONNRESET|EPIPE)$/.test(failure.code ?? '')) expect(failure).toBeInstanceOf(PyroError)
    const got = Buffer.concat(received)
    const accepted = said.filter((one) => HONEST.test(one.toString('latin1')))
    if (accepted.length === 0) expect(got.length).toBe(0)
    const rests = accepted.map((one) => one.subarray(one.indexOf(10) + 1))
    if (got.length > 0) expect(rests.some((rest) => rest.subarray(0, got.length).equals(got))).toBe(true)
    server.close()
    await within(once(server, 'close'), 2000, "the other side's last connection")
    await expect.poll(() => open.size).toBe(0)
  },
)
