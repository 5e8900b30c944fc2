/**
 * src/channel/wire.ts: a guest that speaks HTTP/2 by hand. Whatever it says, a call ends in its time with an answer within
 * its bound or an error of ours, the guest beside it is served, and no connection and no request outlives the channel.
 */
import { createServer, type ServerHttp2Stream } from 'node:http2'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect, type Socket } from 'node:net'
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { buffer } from 'node:stream/consumers'
import { afterAll, beforeAll, expect } from 'vitest'
import { PyroError } from '../../src/contract/errors.ts'
import { heldSessions } from '../../src/channel/collect.ts'
import { type Wire, wire } from '../../src/channel/wire.ts'
import { corpus, fuzz, outcome, within } from './support/fuzz.ts'
import { type Asked, rawGuest } from './support/http2.ts'
import { GREETINGS, honest, LIES } from './support/lies.ts'
import { mutate, pieces } from './support/mutate.ts'
import type { Random } from './support/random.ts'

setFlagsFromString('--expose-gc')
/** Node's native halves are freed by the collector, in an order of its own: what goes wrong there goes wrong here. */
const collect = runInNewContext('gc') as () => void
const kept = corpus('frames')
const names = Object.keys(LIES)
const folder = mkdtempSync(join(tmpdir(), 'ff-'))
const TIMEOUT_MS = 120
/** What a call may take beyond its time on a busy machine. */
const SLACK_MS = 3000
const MAX_BYTES = 100_000
let count = 0
const WINDOWS = { graceMs: 200, streamWindow: 1 << 20, connectionWindow: 4 << 20 }

/** The guest beside the hostile one. */
const neighbour = createServer()
const path = join(folder, 'neighbour')
let beside: Wire
beforeAll(async () => {
  neighbour.on('stream', (stream: ServerHttp2Stream) => {
    stream.respond({ ':status': 200 })
    stream.end('beside')
  })
  await new Promise<void>((done) => neighbour.listen(path, done))
  beside = wire({ dial: () => connect(path), ...WINDOWS })
})
afterAll(async () => {
  beside.close()
  // What is held for the collector is let go by it.
  for (let tries = 0; heldSessions() > 2 && tries < 50; tries++) {
    collect()
    await new Promise((done) => setTimeout(done, 20))
  }
  expect(heldSessions()).toBeLessThanOrEqual(2)
  expect(process.memoryUsage().heapUsed).toBeLessThan(200 * 1_048_576)
  await new Promise((done) => neighbour.close(done))
  rmSync(folder, { recursive: true, force: true })
})

async function neighbourIsServed(): Promise<void> {
  const answer = await beside.request({ method: 'GET', path: '/', timeoutMs: SLACK_MS, maxBytes: 100 })
  expect(answer.body.toString()).toBe('beside')
}

/** One request, of one of the forms that the channel has. */
async function ask(to: Wire, chance: Random): Promise<void> {
  const body = chance.pick([undefined, '{}', Buffer.alloc(200_000), 'stream'] as const)
  const request = {
    method: body === undefined ? 'GET' : 'POST',
    path: '/v1/x',
    ...(body === undefined
      ? {}
      : { body: body === 'stream' ? Readable.from([Buffer.alloc(300_000)]) : body }),
    timeoutMs: TIMEOUT_MS,
  }
  if (chance.once(2)) {
    const { value } = await within(
      outcome(() => to.request({ ...request, maxBytes: MAX_BYTES })),
      TIMEOUT_MS + SLACK_MS,
      'a request',
    )
    if (value === undefined) return
    expect(value.body.length).toBeLessThanOrEqual(MAX_BYTES)
    expect(value.status).toBeGreaterThanOrEqual(100)
    expect(Object.keys(value.headers).length).toBeLessThanOrEqual(64)
    return
  }
  const { value } = await within(
    outcome(() => to.stream(request)),
    TIMEOUT_MS + SLACK_MS,
    'the head of a stream',
  )
  if (value === undefined) return
  // Endless is allowed here: the reader ends it. It fails as the call would have.
  let size = 0
  value.body.on('data', (part: Buffer) => {
    size += part.length
    if (size > MAX_BYTES) value.body.destroy()
  })
  const read = within(buffer(value.body), TIMEOUT_MS + SLACK_MS, 'the body of a stream')
  const error = await read.then(
    () => null,
    (thrown: Error) => thrown,
  )
  if (error !== null && size <= MAX_BYTES) expect(error, String(error.stack)).toBeInstanceOf(PyroError)
}

async function attack(chance: Random, answer: (asked: Asked) => void): Promise<void> {
  const guest = await rawGuest(join(folder, `g${count++}`), chance, () => chance.pick(GREETINGS), answer)
  const dialled: Socket[] = []
  const dial = () => {
    const socket = connect(guest.path)
    dialled.push(socket)
    return socket
  }
  const live = () => dialled.filter((socket) => !socket.destroyed).length
  const channel = wire({ dial, ...WINDOWS })
  try {
    const asked = Array.from({ length: 1 + chance.below(4) }, () => ask(channel, chance))
    await Promise.all([...asked, neighbourIsServed()])
    // Another call after the lie, which may need another connection.
    await Promise.all([ask(channel, chance), neighbourIsServed()])
    // No guest gets a host to keep more than the one connection that is in use.
    await expect.poll(live, { timeout: SLACK_MS, interval: 10 }).toBeLessThanOrEqual(1)
    channel.close()
    await expect.poll(live, { timeout: SLACK_MS, interval: 10 }).toBe(0)
  } finally {
    channel.close()
    collect()
    await guest.close()
  }
}

fuzz('frames: every lie', { rounds: names.length, beside: 8 }, (chance, round) => {
  const lie = LIES[names[round % names.length]!]!
  return attack(chance, lie)
})

fuzz('frames: lies together', { rounds: 64, beside: 8 }, (chance) => {
  const lies = Array.from({ length: 1 + chance.below(3) }, () => LIES[chance.pick(names)]!)
  return attack(chance, (asked) => {
    for (const lie of lies) lie(asked)
  })
})

fuzz('frames: bytes of an honest guest, changed', { rounds: 256, beside: 8 }, (chance, round) =>
  attack(chance, (asked) => {
    const input = kept.inputs[round] ?? mutate(chance, chance.pick(kept.inputs), kept.inputs)
    if (chance.once(4)) honest(asked)
    for (const part of pieces(chance, input)) asked.say(part)
  }),
)
