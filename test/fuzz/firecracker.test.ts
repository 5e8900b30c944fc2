/** src/backend/firecracker/client.ts: a Firecracker that its guest has taken over, at the other end of the API's socket. */
import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'
import { firecrackerApi, MAX_BODY } from '../../src/backend/firecracker/client.ts'
import { corpus, fuzz, outcome, within } from './support/fuzz.ts'
import { mutate, pieces } from './support/mutate.ts'

const kept = corpus('firecracker')
const folder = mkdtempSync(join(tmpdir(), 'ff-'))
const TIMEOUT_MS = 80
const WORDS = [
  'HTTP/1.1 ',
  '200 ',
  '204 ',
  '400 ',
  '\r\n',
  '\r\n\r\n',
  'Content-Length: ',
  'chunked',
  '{"fault_message":"',
]
const CODES = ['machine_failed', 'timed_out', 'cancelled']

fuzz(
  'firecracker: answers of the API',
  { rounds: 600, beside: 16, after: () => rmSync(folder, { recursive: true, force: true }) },
  async (chance, round) => {
    const open = new Set<Socket>()
    const path = join(folder, `a${round}`)
    const whole = kept.inputs[round] !== undefined
    const server = createServer((socket) => {
      open.add(socket)
      socket.on('close', () => open.delete(socket)).on('error', () => {})
      socket.on('data', () => {
        const honest = chance.once(3) ? kept.named('no-content') : chance.pick(kept.inputs)
        const text = kept.inputs[round] ?? mutate(chance, honest, kept.inputs, WORDS)
        for (const part of pieces(chance, text)) if (!socket.destroyed) socket.write(part)
        const last = chance.below(whole ? 20 : 4)
        if (last === 0) socket.end()
        if (last === 1) socket.destroySoon()
      })
    })
    server.listen(path)
    await once(server, 'listening')
    const ending = new AbortController()
    const api = firecrackerApi(path, { timeoutMs: TIMEOUT_MS, signal: ending.signal })
    const calls = [
      () => api.get('/version'),
      () => api.put('/actions', { action_type: 'InstanceStart' }),
      () => api.patch('/vm', { state: 'Paused' }),
    ]
    for (let call = 0; call < 3; call++) {
      if (chance.once(30)) setTimeout(() => ending.abort(), chance.below(10))
      const asked = chance.pick(calls)
      const { value, error } = await within(outcome<unknown>(asked), TIMEOUT_MS + 2000, 'a call')
      if (error) {
        expect(CODES).toContain(error.code)
        expect(error.message).not.toMatch(/[\x00-\x1f\x7f-\x9f\u202e]/)
        expect(error.message.length).toBeLessThan(2000)
      } else if (value !== undefined) {
        const { firecracker_version } = value as { firecracker_version: string }
        expect(firecracker_version.length).toBeLessThanOrEqual(64)
      }
    }
    const long = { action_type: 'x'.repeat(MAX_BODY) } as never
    if (chance.once(20))
      expect((await outcome(() => api.put('/actions', long))).error?.code).toBe('invalid_input')
    api.close()
    server.close()
    await within(once(server, 'close'), 2000, 'the last connection')
    await expect.poll(() => open.size).toBe(0)
  },
)
