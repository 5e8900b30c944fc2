/** Requests over one HTTP/2 connection on a byte stream; reconnects when the stream was lost. Answers are bounded. */
import { type ClientHttp2Session, connect, constants, type IncomingHttpHeaders } from 'node:http2'
import type { Duplex } from 'node:stream'
import { PyroError } from '../contract/errors.ts'

export interface WireOptions {
  dial: () => Duplex
  /** Flow-control windows in bytes: small for control, large for bulk. */
  streamWindow: number
  connectionWindow: number
}
export interface WireRequest {
  method: string
  path: string
  body?: Buffer | string
  /** How long the answer may take, in milliseconds. */
  timeoutMs: number
  maxBytes: number
}
export interface WireAnswer {
  status: number
  headers: IncomingHttpHeaders
  body: Buffer
}
export interface Wire {
  request: (request: WireRequest) => Promise<WireAnswer>
  close: () => void
}

export function wire({ dial, streamWindow, connectionWindow }: WireOptions): Wire {
  let session: ClientHttp2Session | undefined

  function open(): ClientHttp2Session {
    if (session !== undefined && !session.closed && !session.destroyed) return session
    const opened = connect('http://guest', {
      createConnection: dial,
      settings: { initialWindowSize: streamWindow, enablePush: false, maxHeaderListSize: 16_384 },
      maxHeaderListPairs: 64,
    })
    opened.once('connect', () => opened.setLocalWindowSize(connectionWindow))
    // Every request listens for its own failure; the session's is the same one.
    opened.on('error', () => {})
    opened.on('close', () => {
      if (session === opened) session = undefined
    })
    session = opened
    return opened
  }

  return {
    request({ method, path, body, timeoutMs, maxBytes }) {
      return new Promise((resolve, reject) => {
        const stream = open().request({
          ':method': method,
          ':path': path,
          'content-type': 'application/json',
        })
        const parts: Buffer[] = []
        let size = 0
        let headers: IncomingHttpHeaders & { ':status'?: number | undefined } = {}
        const fail = (reason: string) => {
          clearTimeout(timer)
          stream.close(constants.NGHTTP2_CANCEL)
          reject(new PyroError('guest_unreachable', `The sandbox did not answer: ${reason}.`))
        }
        const timer = setTimeout(() => fail(`nothing within ${timeoutMs} ms`), timeoutMs)
        stream.on('response', (received) => {
          headers = received
        })
        stream.on('data', (part: Buffer) => {
          size += part.length
          if (size > maxBytes) fail('its answer is too long')
          else parts.push(part)
        })
        stream.on('error', (error) => fail(error.message))
        stream.on('close', () => {
          clearTimeout(timer)
          const status = headers[':status']
          if (status === undefined || !stream.readableEnded) fail('the connection closed')
          else resolve({ status, headers, body: parts.length === 1 ? parts[0]! : Buffer.concat(parts) })
        })
        stream.end(body)
      })
    },
    close() {
      session?.destroy()
      session = undefined
    },
  }
}
