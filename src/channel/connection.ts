/**
 * The HTTP/2 connections of a channel. One is used at a time; it is made when first needed and made again when it was
 * lost. What the guest does decides only how soon one ends: none outlives its last request, or the channel.
 */
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type OutgoingHttpHeaders,
} from 'node:http2'
import type { Duplex } from 'node:stream'
import { PyroError } from '../contract/errors.ts'
import { holdUntilCollected } from './collect.ts'

/** A new byte stream to the agent, at its first byte. */
export type DialStream = () => Duplex | Promise<Duplex>

export interface ConnectionOptions {
  dial: DialStream
  /** Flow-control windows in bytes: small for control, large for bulk. */
  streamWindow: number
  connectionWindow: number
  /** How long a request that was given up may take to be gone, in milliseconds, before its connection is. Default: 5 s. */
  graceMs?: number
}

export interface Connections {
  /** A new request, whose errors are the caller's. @throws guest_unreachable, or what dialling throws of ours */
  begin: (headers: OutgoingHttpHeaders) => Promise<ClientHttp2Stream>
  /**
   * One round trip of HTTP/2 itself (PING, RFC 9113 §6.7): whether the other end is there, whatever its agent is doing.
   * @throws guest_unreachable where nothing came within timeoutMs, or what dialling throws of ours
   */
  ping: (timeoutMs: number) => Promise<void>
  /** Gives a request up. */
  cancel: (stream: ClientHttp2Stream) => void
  close: () => void
}

interface Connection {
  session: ClientHttp2Session
  /** Below the session, which does not always close it: after a goodbye it would wait for the guest to. */
  bytes: Duplex
  requests: number
  /** It takes no new requests. */
  leaving: boolean
}

const GRACE_MS = 5_000
/** Few large frames cost an emulated guest less than many small ones. */
const MAX_FRAME = 1_048_576

export const unreachable = (reason: string, cause?: unknown) =>
  new PyroError('guest_unreachable', `The sandbox did not answer: ${reason}.`, { cause })

/** An error of ours stays what it is. */
export const asUnreachable = (error: unknown): PyroError =>
  error instanceof PyroError ? error : unreachable((error as Error).message, error)

export function connections({
  dial,
  streamWindow,
  connectionWindow,
  graceMs = GRACE_MS,
}: ConnectionOptions): Connections {
  let current: Promise<Connection> | undefined
  const open = new Set<Connection>()
  const owners = new WeakMap<ClientHttp2Stream, Connection>()

  function present(): Promise<Connection> {
    if (current !== undefined) return current
    const opening = establish(() => {
      if (current === opening) current = undefined
    })
    current = opening
    return opening
  }

  async function establish(lost: () => void): Promise<Connection> {
    let bytes: Duplex | undefined
    try {
      const dialling = dial()
      // A socket that cannot connect says so at the next tick: by then the session has to listen.
      const dialled = dialling instanceof Promise ? await dialling : dialling
      bytes = dialled
      const session = connect('http://guest', {
        createConnection: () => dialled,
        settings: {
          initialWindowSize: streamWindow,
          enablePush: false,
          maxHeaderListSize: 16_384,
          maxFrameSize: MAX_FRAME,
        },
        maxHeaderListPairs: 64,
      })
      const connection: Connection = { session, bytes: dialled, requests: 0, leaving: false }
      open.add(connection)
      session.once('connect', () => {
        // It may have been given up in the same breath.
        if (!session.destroyed) session.setLocalWindowSize(connectionWindow)
      })
      // Every request listens for its own failure; the session's is the same one.
      session.on('error', lost)
      session.on('goaway', () => {
        lost()
        connection.leaving = true
        if (connection.requests === 0) end(connection)
      })
      session.on('close', () => {
        lost()
        end(connection)
      })
      return connection
    } catch (error) {
      lost()
      bytes?.destroy()
      throw error
    }
  }

  /** Later: Node does not bear that a session ends while it hands out what it has just read. */
  function end(connection: Connection): void {
    if (!open.delete(connection)) return
    setImmediate(() => {
      connection.session.destroy()
      connection.bytes.on('error', () => {})
      connection.bytes.destroy()
    })
  }

  return {
    async begin(headers) {
      try {
        const connection = await present()
        const { session } = connection
        if (session.closed || session.destroyed) throw unreachable('the connection closed')
        const stream = session.request(headers)
        holdUntilCollected(session, stream)
        owners.set(stream, connection)
        connection.requests++
        stream.once('close', () => {
          connection.requests--
          if (connection.leaving && connection.requests === 0) end(connection)
        })
        return stream
      } catch (error) {
        throw asUnreachable(error)
      }
    },
    async ping(timeoutMs) {
      const pinged = Promise.withResolvers<void>()
      const fail = (error: unknown) => pinged.reject(asUnreachable(error))
      const timer = setTimeout(() => fail(unreachable(`nothing within ${timeoutMs} ms`)), timeoutMs)
      present().then(({ session }) => {
        const send = () => {
          if (session.destroyed) return fail(unreachable('the connection closed'))
          // Node has no more than ten on the way.
          const sent = session.ping((error) => (error === null ? pinged.resolve() : fail(error)))
          if (!sent) fail(unreachable('too many pings are unanswered'))
        }
        if (!session.connecting) return send()
        session.once('connect', send).once('close', () => fail(unreachable('the connection closed')))
      }, fail)
      return pinged.promise.finally(() => clearTimeout(timer))
    },
    cancel(stream) {
      if (stream.destroyed) return
      stream.close(constants.NGHTTP2_CANCEL)
      // A guest that reads nothing cannot be told. What it was asked would be kept for as long as it likes.
      const timer = setTimeout(() => {
        const connection = owners.get(stream)
        if (connection) end(connection)
      }, graceMs).unref()
      stream.once('close', () => clearTimeout(timer))
    },
    close() {
      current?.then(end, () => {})
      current = undefined
      for (const connection of open) end(connection)
    },
  }
}
