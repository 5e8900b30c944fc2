/** Requests to the agent over HTTP/2. Answers are bounded in bytes and in time; what fails is guest_unreachable. */
import { type ClientHttp2Stream, constants, type IncomingHttpHeaders } from 'node:http2'
import { pipeline, Readable, Transform } from 'node:stream'
import { asUnreachable, type ConnectionOptions, connections, unreachable } from './connection.ts'

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
  /**
   * An answer whose body is read as it comes. `timeoutMs` bounds every pause: of what is sent, of the answer's head, and
   * of its body while somebody waits for it.
   */
  stream: (request: Omit<WireRequest, 'maxBytes'>) => Promise<WireStream>
  /** Whether the other end is there. @throws guest_unreachable */
  ping: (timeoutMs: number) => Promise<void>
  close: () => void
}
export interface WireStream {
  status: number
  headers: IncomingHttpHeaders
  /** Fails with guest_unreachable where the connection ends before the body does. */
  body: Readable
}

type Head = IncomingHttpHeaders & { ':status'?: number | undefined }

export interface WireOptions extends ConnectionOptions {
  /** Makes an error of what a guest says behind a body that it could not complete. */
  refusal: (said: string) => Error
}

export function wire({ refusal, ...options }: WireOptions): Wire {
  const { begin, cancel, ping, close } = connections(options)

  async function send({ method, path, body }: Pick<WireRequest, 'method' | 'path' | 'body'>) {
    const stream = await begin({ ':method': method, ':path': path, 'content-type': 'application/json' })
    if (body instanceof Readable) pipeline(body, stream, () => {})
    else stream.end(body)
    return stream
  }

  return {
    request({ timeoutMs, maxBytes, ...request }) {
      return new Promise((resolve, reject) => {
        let sent: ClientHttp2Stream | undefined
        let over = false
        const fail = (error: unknown) => {
          over = true
          clearTimeout(timer)
          if (sent) cancel(sent)
          reject(asUnreachable(error))
        }
        const timer = setTimeout(() => fail(unreachable(`nothing within ${timeoutMs} ms`)), timeoutMs)
        send(request).then((stream) => {
          sent = stream
          const parts: Buffer[] = []
          let size = 0
          let headers: Head = {}
          stream.on('response', (received) => {
            headers = received
          })
          stream.on('data', (part: Buffer) => {
            size += part.length
            if (size <= maxBytes) parts.push(part)
            else if (!over) fail(unreachable('its answer is too long'))
          })
          stream.on('error', fail)
          stream.on('close', () => {
            clearTimeout(timer)
            const status = headers[':status']
            if (status === undefined || !isWhole(stream)) fail(unreachable('the connection closed'))
            else resolve({ status, headers, body: parts.length === 1 ? parts[0]! : Buffer.concat(parts) })
          })
          if (over) cancel(stream)
        }, fail)
      })
    },
    stream({ timeoutMs, ...request }) {
      const { promise, resolve, reject } = Promise.withResolvers<WireStream>()
      const source = request.body instanceof Readable ? request.body : undefined
      let sent: ClientHttp2Stream | undefined
      let answered = false
      let over = false
      const moved = () => {
        if (!over) timer.refresh()
      }
      const settle = () => {
        over = true
        clearTimeout(timer)
      }
      // It is there before the answer is: whatever ends one of them ends the other.
      const body = new Transform({
        highWaterMark: 1_048_576,
        transform(part, _encoding, done) {
          moved()
          done(null, part)
        },
        flush: (done) => done(sent && isWhole(sent) ? null : unreachable('the connection closed')),
      })
      const timer = setTimeout(() => {
        // A reader that takes its time is no fault of the guest's.
        if (body.readableLength + body.writableLength > 0) timer.refresh()
        else body.destroy(unreachable(`nothing within ${timeoutMs} ms`))
      }, timeoutMs)
      body.on('error', reject)
      body.on('close', () => {
        settle()
        if (sent) cancel(sent)
        source?.destroy()
      })
      send(request).then(
        (stream) => {
          sent = stream
          stream.on('error', (error) => body.destroy(asUnreachable(error)))
          if (body.destroyed) return cancel(stream)
          source?.on('data', moved)
          let said: string | undefined
          stream.on('trailers', (trailers) => {
            const value = trailers['pyro-error']
            if (value !== undefined) said = String(value)
          })
          // What comes behind a body is told before its end is.
          stream.on('end', () => {
            settle()
            if (said === undefined) body.end()
            else body.destroy(refusal(said))
          })
          stream.on('close', () => {
            if (!answered || !isWhole(stream)) body.destroy(unreachable('the connection closed'))
          })
          stream.once('response', (headers: Head) => {
            answered = true
            moved()
            stream.pipe(body, { end: false })
            resolve({ status: headers[':status'] ?? 0, headers, body })
          })
        },
        (error) => body.destroy(error),
      )
      return promise
    },
    ping,
    close,
  }
}

/** A reset is an end like any other to a stream of HTTP/2; to whoever reads the body it is a failure. */
const isWhole = (stream: ClientHttp2Stream): boolean =>
  stream.readableEnded && stream.rstCode === constants.NGHTTP2_NO_ERROR
