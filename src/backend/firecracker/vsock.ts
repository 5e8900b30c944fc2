/**
 * A byte stream to a port of the guest's vsock, through the unix socket that Firecracker listens on: the host says
 * `CONNECT <port>\n`, Firecracker answers `OK <host port>\n` once the guest has accepted, and closes the connection when
 * nobody listens there (docs/vsock.md of Firecracker).
 */
import { connect, type Socket } from 'node:net'
import { Duplex } from 'node:stream'
import { PyroError } from '../../contract/errors.ts'

export interface DialOptions {
  /** How long the guest may take to listen, in milliseconds from the call. */
  timeoutMs: number
  /** How long one attempt may hang, in milliseconds: a request made before the guest's driver is there may get lost. */
  attemptMs?: number
}

/** `OK ` and a port of at most ten digits. */
const LONGEST_ANSWER = 14
const ANSWER = /^OK \d{1,10}\n$/
const FIRST_PAUSE_MS = 2
const LONGEST_PAUSE_MS = 50

/** Returns at once: what is written waits until the guest is there. Errors are the stream's. */
export function dialVsock(path: string, port: number, { timeoutMs, attemptMs = 500 }: DialOptions): Duplex {
  const deadline = performance.now() + timeoutMs
  let attempt: Socket | undefined
  let socket: Socket | undefined
  let timer: NodeJS.Timeout | undefined
  let pause = FIRST_PAUSE_MS
  /** What was asked of the stream before there was a connection; never more than one write and its end. */
  const held: ((socket: Socket) => void)[] = []
  const whenOpen = (act: (socket: Socket) => void) => {
    if (socket === undefined) held.push(act)
    else act(socket)
  }

  const stream = new Duplex({
    // Like a socket's: when the guest has ended, so have we.
    allowHalfOpen: false,
    read() {
      socket?.resume()
    },
    write(chunk: Buffer, _encoding, done) {
      whenOpen((open) => open.write(chunk, (error) => done(error)))
    },
    final(done) {
      whenOpen((open) => {
        if (open.writable) open.end(() => done())
        else done()
      })
    },
    destroy(error, done) {
      clearTimeout(timer)
      attempt?.destroy()
      socket?.destroy()
      done(error)
    },
  })

  function open(dialled: Socket, rest: Buffer): void {
    socket = dialled
    attempt = undefined
    if (rest.length > 0 && !stream.push(rest)) dialled.pause()
    dialled.on('data', (bytes: Buffer) => {
      if (!stream.push(bytes)) dialled.pause()
    })
    dialled.on('end', () => stream.push(null))
    dialled.on('error', (error) => stream.destroy(error))
    dialled.on('close', () => {
      // A connection that is cut while its reader waits has no `end`.
      if (!dialled.readableEnded) stream.destroy()
    })
    for (const act of held.splice(0)) act(dialled)
  }

  function again(reason: string): void {
    clearTimeout(timer)
    if (stream.destroyed) return
    const left = deadline - performance.now()
    if (left <= 0) {
      const message = `The machine took no connection within ${timeoutMs} ms (${reason}).`
      stream.destroy(new PyroError('guest_unreachable', message))
      return
    }
    timer = setTimeout(dial, Math.min(pause, left))
    pause = Math.min(pause * 2, LONGEST_PAUSE_MS)
  }

  function dial(): void {
    const dialled = connect(path)
    attempt = dialled
    let line = Buffer.alloc(0)
    let reason = 'nobody listens inside'
    const bound = Math.max(1, Math.min(attemptMs, deadline - performance.now()))
    timer = setTimeout(() => {
      reason = 'no answer'
      dialled.destroy()
    }, bound)
    dialled.on('error', (error: NodeJS.ErrnoException) => {
      reason = error.code ?? error.message
    })
    dialled.once('connect', () => dialled.write(`CONNECT ${port}\n`))
    const ended = () => again(reason)
    const answered = (bytes: Buffer) => {
      line = Buffer.concat([line, bytes])
      const end = line.indexOf(10)
      if (end < 0 && line.length < LONGEST_ANSWER) return
      clearTimeout(timer)
      dialled.off('data', answered)
      dialled.off('close', ended)
      if (end >= 0 && ANSWER.test(line.toString('latin1', 0, end + 1))) {
        dialled.removeAllListeners('error')
        open(dialled, line.subarray(end + 1))
        return
      }
      stream.destroy(
        new PyroError('guest_unreachable', 'The machine answered the connection with something else.'),
      )
    }
    dialled.on('data', answered)
    dialled.on('close', ended)
  }

  dial()
  return stream
}
