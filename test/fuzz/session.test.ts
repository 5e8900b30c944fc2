/** src/channel/session.ts: what a guest says before there is a session. */
import { Duplex } from 'node:stream'
import { expect } from 'vitest'
import { KIND, openSession, record } from '../../src/channel/session.ts'
import { corpus, fuzz, outcome, within } from './support/fuzz.ts'
import { mutate, pieces } from './support/mutate.ts'
import type { Random } from './support/random.ts'

const kept = corpus('session')
const RECORD = 40
const TIMEOUT_MS = 60
/** What the host may hold of a stream that belongs to no session. */
const MAX_NOISE = 64 * 1_048_576

type Say = (bytes: Buffer) => void
/** A port: the bytes of the host go to `heard`, those of `say` to the host. */
function port(heard: (bytes: Buffer, say: Say) => void): { stream: Duplex; say: Say } {
  const say: Say = (bytes) => {
    if (!stream.destroyed) stream.push(bytes)
  }
  const stream = new Duplex({
    read() {},
    write(bytes: Buffer, _encoding, done) {
      heard(bytes, say)
      done()
    },
  })
  return { stream, say }
}

/** Noise that looks like a session: kept inputs, and records of this nonce that are torn, doubled or of another kind. */
function noise(chance: Random, nonce: Buffer): Buffer {
  const words = [...Object.values(KIND).map((kind) => record(kind, nonce)), 'pyro-session-v1\n', nonce]
  return mutate(chance, chance.pick(kept.inputs), kept.inputs, words)
}
const nonceOf = (bytes: Buffer) => bytes.subarray(RECORD - 16, RECORD)

fuzz('session: a hostile guest', { rounds: 512, beside: 32 }, async (chance, round) => {
  let calls = 0
  let went = false
  const { stream, say } = port((bytes) => {
    went ||= bytes[16] === KIND.go
    const nonce = Buffer.from(nonceOf(bytes))
    if (++calls > 3) return
    const said = round < kept.inputs.length ? kept.inputs[round]! : noise(chance, nonce)
    queueMicrotask(() => {
      for (const part of pieces(chance, said)) say(part)
      const last = chance.below(20)
      if (last < 2) stream.destroy(last === 0 ? new Error('gone') : undefined)
      else if (last < 4) stream.push(null)
    })
  })
  const { value, error } = await within(
    outcome(() => openSession(stream, { timeoutMs: TIMEOUT_MS })),
    TIMEOUT_MS + 2000,
    'the handshake',
  )
  if (error) {
    expect(error.code).toBe('guest_unreachable')
    expect(stream.destroyed).toBe(true)
  } else {
    // Only a guest that knows this session's nonce can have said both words, and it was told to go in between.
    expect(value).toBe(stream)
    expect(went).toBe(true)
  }
  stream.destroy()
})

fuzz('session: an honest guest behind noise', { rounds: 200 }, async (chance) => {
  const payload = chance.bytes(chance.below(300))
  const old = chance.bytes(16)
  const torn = record(chance.pick([1, 2, 3, 4] as const), old).subarray(0, chance.below(RECORD + 1))
  const before = chance.once(3) ? Buffer.alloc(0) : Buffer.concat([noise(chance, old), torn])
  const { stream, say } = port((bytes) => {
    const nonce = Buffer.from(nonceOf(bytes))
    const answers =
      bytes[16] === KIND.syn ? [before, record(KIND.ack, nonce)] : [record(KIND.ready, nonce), payload]
    for (const part of pieces(chance, Buffer.concat(answers))) say(part)
  })
  const opened = await within(openSession(stream, { timeoutMs: 5000 }), 6000, 'the handshake')
  const seen: Buffer[] = []
  for (let size = 0; size < payload.length; size += seen.at(-1)!.length) {
    const part: Buffer | null = opened.read()
    if (part) seen.push(part)
    else await new Promise((done) => opened.once('readable', done))
  }
  // Another ACK may follow the first, for a call that crossed it; the session's bytes come first nevertheless.
  expect(Buffer.concat(seen).subarray(0, payload.length)).toEqual(payload)
  opened.destroy()
})

fuzz('session: a guest that only floods', { rounds: 1 }, async (chance) => {
  const block = Buffer.concat(
    Array.from({ length: 20_000 }, () => mutate(chance, chance.pick(kept.inputs), kept.inputs)),
  )
  let sent = 0
  const stream = new Duplex({
    read() {
      sent += block.length
      this.push(block)
    },
    write: (_bytes, _encoding, done) => done(),
  })
  const { error } = await within(
    outcome(() => openSession(stream, { timeoutMs: 10_000 })),
    11_000,
    'the handshake',
  )
  expect(error?.code).toBe('guest_unreachable')
  expect(stream.destroyed).toBe(true)
  expect(sent).toBeLessThan(MAX_NOISE + 8 * block.length)
})
