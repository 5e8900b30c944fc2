/** Requests over one HTTP/2 connection on a byte stream; reconnects when the stream was lost. Answers are bounded. */
import {
  type ClientHttp2Session,
  type ClientHttp2Stream,
  connect,
  constants,
  type IncomingHttpHeaders,
} from 'node:http2'
import { type Duplex, PassThrough, pipeline, Readable } from 'node:stream'
import { PyroError } from '../contract/errors.ts'

/** A new byte stream to the agent, at its first byte. */
export type DialStream = () => Duplex | Promise<Duplex>

export interface WireOptions {
  dial: DialStream
  /** Makes an error of what a guest says behind a body that it could not complete. */
  refusal: (said: string) => Error
  /** Flow-control windows in bytes: small for control, large for bulk. */
  streamWindow: number
  connectionWindow: number
}
export interface WireRequest {
  method: string
  path: string
  body?: Buffer | string | Readable
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
  /** An answer whose body is read as it comes; `timeoutMs` bounds the wait for its head, and each pause after it. */
  stream: (request: Omit<WireRequest, 'maxBytes'>) => Promise<WireStream>
  close: () => void
}
export interface WireStream {
  status: number
  headers: IncomingHttpHeaders
  /** Fails with what the guest says where it could not go on, with guest_unreachable where the connection ends first. */
  body: Readable
}

/** Few large frames cost an emulated guest less than many small ones. */
const MAX_FRAME = 1_048_576

type Head = IncomingHttpHeaders & { ':status'?: number | undefined }

const unreachable = (reason: string) =>
  new PyroError('guest_unreachable', `The sandbox did not answer: ${reason}.`)

export function wire({ dial, refusal, streamWindow, connectionWindow }: WireOptions): Wire {
  let session: Promise<ClientHttp2Session> | undefined

  function open(): Promise<ClientHttp2Session> {
    if (session !== undefined) return session
    const opening = establish(() => {
      if (session === opening) session = undefined
    })
    session = opening
    return opening
  }

  async function establish(lost: () => void): Promise<ClientHttp2Session> {
    try {
      const dialled = dial()
      // A socket that cannot connect says so at the next tick: by then the session has to listen.
      const stream = dialled instanceof Promise ? await dialled : dialled
      const opened = connect('http://guest', {
        createConnection: () => stream,
        settings: {
          initialWindowSize: streamWindow,
          enablePush: false,
          maxHeaderListSize: 16_384,
          maxFrameSize: MAX_FRAME,
        },
        maxHeaderListPairs: 64,
      })
      opened.once('connect', () => {
        // It may have been given up in the same breath.
        if (!opened.destroyed) opened.setLocalWindowSize(connectionWindow)
      })
      // Every request listens for its own failure; the session's is the same one.
      opened.on('error', () => {})
      // A session that says goodbye takes no more requests.
      opened.on('goaway', lost)
      opened.on('close', lost)
      return opened
    } catch (error) {
      lost()
      throw error
    }
  }

  async function begin({ method, path, body }: Pick<WireRequest, 'method' | 'path' | 'body'>) {
    const opened = await open()
    if (opened.closed || opened.destroyed) throw unreachable('the connection closed')
    const stream = opened.request({ ':method': method, ':path': path, 'content-type': 'application/json' })
    if (body instanceof Readable) pipeline(body, stream, () => {})
    else stream.end(body)
    return stream
  }

  return {
    request({ timeoutMs, maxBytes, ...request }) {
      return new Promise((resolve, reject) => {
        let cancel = () => {}
        let over = false
        const fail = (error: unknown) => {
          over = true
          clearTimeout(timer)
          cancel()
          reject(error)
        }
        const timer = setTimeout(() => fail(unreachable(`nothing within ${timeoutMs} ms`)), timeoutMs)
        begin(request).then((stream) => {
          cancel = () => stream.close(constants.NGHTTP2_CANCEL)
          if (over) return cancel()
          const parts: Buffer[] = []
          let size = 0
          let headers: Head = {}
          stream.on('response', (received) => {
            headers = received
          })
          stream.on('data', (part: Buffer) => {
            size += part.length
            if (size > maxBytes) fail(unreachable('its answer is too long'))
            else parts.push(part)
          })
          stream.on('error', (error) => fail(unreachable(error.message)))
          stream.on('close', () => {
            clearTimeout(timer)
            const status = headers[':status']
            if (status === undefined || !stream.readableEnded) fail(unreachable('the connection closed'))
            else resolve({ status, headers, body: parts.length === 1 ? parts[0]! : Buffer.concat(parts) })
          })
        }, fail)
      })
    },
    async stream({ timeoutMs, ...request }) {
      const stream = await begin(request)
      const stalled = () => stream.destroy(unreachable(`nothing within ${timeoutMs} ms`))
      stream.setTimeout(timeoutMs, stalled)
      return new Promise((resolve, reject) => {
        stream.once('response', (headers: Head) =>
          resolve({ status: headers[':status'] ?? 0, headers, body: whole(stream, refusal) }),
        )
        stream.once('error', reject)
        stream.once('close', () => reject(unreachable('the connection closed')))
      })
    },
    close() {
      session?.then(
        (opened) => opened.destroy(),
        () => {},
      )
      session = undefined
    },
  }
}

/**
 * The body of an answer, which fails where it was cut off: a reset is an end like any other to a stream of HTTP/2, and a
 * guest that can't go on says so behind the body (`refusal` reads that), so its end is passed on only when both are known.
 */
function whole(stream: ClientHttp2Stream, refusal: (said: string) => Error): Readable {
  const body = new PassThrough({ highWaterMark: 1_048_576 })
  let said: string | undefined
  stream.on('trailers', (trailers) => {
    const value = trailers['pyro-error']
    if (value !== undefined) said = String(value)
  })
  // Its failure is seen when it closes.
  stream.on('error', () => {})
  stream.once('close', () => {
    if (said !== undefined) body.destroy(refusal(said))
    else if (stream.rstCode !== constants.NGHTTP2_NO_ERROR || !stream.readableEnded)
      body.destroy(
        stream.errored instanceof PyroError ? stream.errored : unreachable('the connection closed'),
      )
    else body.end()
  })
  body.once('close', () => {
    if (!stream.closed) stream.close(constants.NGHTTP2_CANCEL)
  })
  stream.pipe(body, { end: false })
  return body
}
