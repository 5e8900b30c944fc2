/**
 * The host's half of the handshake on a byte stream that has no beginning: a virtio-serial port keeps bytes of a dead
 * session on both sides. Records are 40 bytes: the magic, a kind, seven zeroes, a nonce of 16 bytes. The host says SYN
 * until the guest answers ACK with the same nonce, then GO once; after the guest's READY the bytes are the session's.
 */
import { randomBytes } from 'node:crypto'
import type { Duplex } from 'node:stream'
import { PyroError } from '../contract/errors.ts'

const MAGIC = Buffer.from('pyro-session-v1\n')
const NONCE_BYTES = 16
const RECORD_BYTES = MAGIC.length + 8 + NONCE_BYTES
/** How often the guest is called, in milliseconds: it may still be booting. */
const CALL_MS = 50
/**
 * A guest that did not notice the end of the last session takes what comes for the rest of its last frame, which holds
 * 16 KiB at most (the agent's MaxReadFrameSize). Every so many calls there are more bytes than that, so that it stumbles.
 */
const FLUSH_EVERY = 20
const FLUSH_RECORDS = 420
/** Bytes of earlier sessions that are thrown away before it is given up. */
const MAX_NOISE = 64 * 1_048_576

export const KIND = { syn: 1, ack: 2, go: 3, ready: 4 } as const
type Kind = (typeof KIND)[keyof typeof KIND]

export interface SessionOptions {
  /** How long the guest may take to answer, in milliseconds. */
  timeoutMs: number
}

export function record(kind: Kind, nonce: Uint8Array): Buffer {
  return Buffer.concat([MAGIC, Buffer.from([kind, 0, 0, 0, 0, 0, 0, 0]), nonce])
}

/**
 * Resolves with the same stream once it stands at the first byte of a new session; bytes that came with the guest's last
 * word are put back. The stream is destroyed on failure.
 * @throws guest_unreachable
 */
export function openSession<Stream extends Duplex>(stream: Stream, options: SessionOptions): Promise<Stream> {
  const nonce = randomBytes(NONCE_BYTES)
  const [ack, ready] = [record(KIND.ack, nonce), record(KIND.ready, nonce)]
  let expected = ack
  let kept: Buffer = Buffer.alloc(0)
  let noise = 0
  let calls = 0

  return new Promise((resolve, reject) => {
    const call = () => {
      // A port that takes nothing (the guest is not there yet) is not filled with calls.
      if (expected !== ack || stream.writableLength > 0) return
      const syn = record(KIND.syn, nonce)
      stream.write(++calls % FLUSH_EVERY === 0 ? Buffer.concat(Array(FLUSH_RECORDS).fill(syn)) : syn)
    }
    const calling = setInterval(call, CALL_MS)
    const limit = setTimeout(() => fail(`no session within ${options.timeoutMs} ms`), options.timeoutMs)
    const settle = () => {
      clearInterval(calling)
      clearTimeout(limit)
      stream.off('data', take).off('error', broke).off('close', closed)
    }
    const fail = (reason: string, cause?: unknown) => {
      settle()
      stream.on('error', () => {})
      stream.destroy()
      reject(new PyroError('guest_unreachable', `The sandbox did not answer: ${reason}.`, { cause }))
    }
    const broke = (error: Error) => fail(error.message, error)
    const closed = () => fail('the connection closed')
    const take = (bytes: Buffer) => {
      // A stream that has ended still gives what it holds, and takes no GO.
      if (stream.destroyed) return
      noise += bytes.length
      let seen = kept.length === 0 ? bytes : Buffer.concat([kept, bytes])
      for (let at = seen.indexOf(expected); at !== -1; at = seen.indexOf(expected)) {
        seen = seen.subarray(at + RECORD_BYTES)
        if (expected === ready) {
          settle()
          stream.pause()
          if (seen.length > 0) stream.unshift(seen)
          resolve(stream)
          return
        }
        expected = ready
        stream.write(record(KIND.go, nonce))
      }
      kept = Buffer.from(seen.subarray(Math.max(0, seen.length - RECORD_BYTES + 1)))
      if (noise > MAX_NOISE) fail('it sends what belongs to no session')
    }
    stream.on('data', take).on('error', broke).on('close', closed)
    call()
  })
}
