/**
 * A tree that arrives as a stream, e.g. from a machine's agent, is put in its place by the hand. The hand reads it from a
 * private socket: one connection, and the socket's name is gone as soon as that is made.
 */
import { randomBytes } from 'node:crypto'
import { chmodSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import { join } from 'node:path'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { PyroError } from '../contract/errors.ts'
import type { CallOptions, Hand, HandOperations, Owner } from '../hand/protocol.ts'
import { MAX_LAYER } from './store/store.ts'

/** How long the hand may take to connect, in milliseconds. */
const CONNECT_MS = 15_000

export interface PourOptions extends CallOptions {
  /** What was asked for on the other side, relative to its root; '.' is all of it. */
  path: string
  output: string
  overwrite: boolean
  owner: Owner
  /** Directories that the output may neither hold nor lie in. */
  apart: string[]
}

/**
 * Takes the body to its end, or destroys it; settles when nothing of it is at work any more.
 * @throws the body's own error where it broke off, guest_unreachable where it is no tree, else what the hand says.
 */
export async function receiveTree(
  hand: Hand,
  runtimeDir: string,
  body: Readable,
  { signal, onProgress, ...what }: PourOptions,
): Promise<HandOperations['export_stream'][1]> {
  const path = join(runtimeDir, `pour-${randomBytes(8).toString('hex')}.sock`)
  const ending = new AbortController()
  const stop = signal ? AbortSignal.any([signal, ending.signal]) : ending.signal
  const seen = watch(body, stop)
  const server = createServer({ pauseOnConnect: true })
  try {
    await listen(server, path)
    const taking = hand(
      'export_stream',
      { socket: path, ...what, ...MAX_LAYER },
      { signal: stop, ...(onProgress ? { onProgress } : {}) },
    )
    const pouring = accept(server, path, stop).then((socket) => {
      const gone = () => {
        seen.handGone = true
      }
      socket.once('error', gone).once('close', gone)
      return pipeline(body, socket, { signal: stop })
    })
    // The failure of one ends the other: an end of the stream alone would look like a tree that was cut.
    for (const one of [taking, pouring]) one.catch((error: unknown) => ending.abort(error))
    const [taken, poured] = await Promise.allSettled([taking, pouring])
    if (taken.status === 'fulfilled') return taken.value
    throw reason(taken.reason, poured, seen.broke, signal)
  } finally {
    server.close()
    rmSync(path, { force: true })
    body.destroy()
  }
}

/** Whether the body broke off by itself: before the hand left, and before anybody ended it. */
function watch(body: Readable, stop: AbortSignal): { broke: Error | null; handGone: boolean } {
  const seen = { broke: null as Error | null, handGone: false }
  const note = (error: Error) => {
    if (!seen.handGone && !stop.aborted) seen.broke ??= error
  }
  body.on('error', note)
  body.once('close', () => {
    if (!body.readableEnded) note(new Error('the stream ended early'))
  })
  return seen
}

function reason(
  handSaid: unknown,
  poured: PromiseSettledResult<void>,
  broke: Error | null,
  signal: AbortSignal | undefined,
): unknown {
  if (signal?.aborted) return new PyroError('cancelled', 'The call was cancelled.')
  if (broke instanceof PyroError) return broke
  if (broke !== null)
    return new PyroError('guest_unreachable', `The sandbox stopped sending: ${broke.message}.`, {
      cause: broke,
    })
  if (!(handSaid instanceof PyroError)) return handSaid
  if (handSaid.code === 'cancelled' && poured.status === 'rejected') return poured.reason
  if (handSaid.code === 'layer_invalid')
    return new PyroError('guest_unreachable', `The sandbox sent what is no tree: ${handSaid.message}`, {
      cause: handSaid,
    })
  return handSaid
}

function listen(server: Server, path: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject)
    server.listen(path, () => {
      chmodSync(path, 0o600)
      resolve()
    })
  })
}

/** The first connection, and no other. */
function accept(server: Server, path: string, stop: AbortSignal): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const settle = (done: () => void) => {
      clearTimeout(timer)
      stop.removeEventListener('abort', aborted)
      server.removeAllListeners('connection')
      server.close()
      rmSync(path, { force: true })
      done()
    }
    const aborted = () => settle(() => reject(stop.reason))
    const late = () => settle(() => reject(new PyroError('timed_out', 'The hand did not take the stream.')))
    const timer = setTimeout(late, CONNECT_MS)
    stop.addEventListener('abort', aborted, { once: true })
    if (stop.aborted) return aborted()
    server.on('connection', (socket) => settle(() => resolve(socket)))
  })
}
