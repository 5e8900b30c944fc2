/**
 * The host's half of the network connection, as bench:dials measures it: one HTTP/2 session, one `dials` stream, and a
 * stream per connection that the host opens once it has decided. Nothing it keeps for a guest grows without a bound.
 */
import { once } from 'node:events'
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2'
import { connect as connectSocket } from 'node:net'
import { getDefaultHighWaterMark, setDefaultHighWaterMark } from 'node:stream'

/** Bytes of one record. */
const MAX_LINE = 1024
/** Small pieces that wait are put together up to this many bytes. */
const TAIL_BYTES = 4096

export interface HostLimits {
  /** Bytes that a stream may hold unread in this process. */
  streamWindow: number
  /** Bytes under way on the connection. */
  connectionWindow: number
  /** Connections of the guest at a time, opened or being opened. */
  open: number
  /** Records being decided and dialled at a time. */
  dialling: number
  /** How long deciding and dialling takes, in milliseconds: stands for the policy, the resolver and the far side. */
  dialMs: number
  /** Pieces of received data are copied out of the socket's buffer, where they would hold all of it. */
  compact: boolean
  /** Bytes beyond the window that a stream may hold here: Node gives the window back as long as its buffer has less. */
  held: number
  /** Megabytes that Node lets a session hold; what waits to be sent counts. Streams beyond it are reset. */
  sessionMemory: number
}
export interface Record {
  id: number
  name: string
}
export interface Host {
  session: ClientHttp2Session
  counts: {
    records: number
    refused: number
    failed: number
    dialling: number
    mostDialling: number
    open: number
  }
  ask: <T>(method: string, path: string, body?: unknown) => Promise<T>
}

/** `serve` gets each connection's stream with the name that the guest asked for. */
export async function followDials(
  path: string,
  limits: HostLimits,
  serve: (name: string, stream: ClientHttp2Stream) => void,
): Promise<Host> {
  const counts = { records: 0, refused: 0, failed: 0, dialling: 0, mostDialling: 0, open: 0 }
  const session = connect('http://guest', {
    createConnection: () => connectSocket(path),
    settings: { initialWindowSize: limits.streamWindow, enablePush: false, maxHeaderListSize: 16_384 },
    maxHeaderListPairs: 64,
    maxSessionMemory: limits.sessionMemory,
  })
  // What the bench tells the guest goes another way, as control does: it is not what is measured.
  const control = connect('http://guest', { createConnection: () => connectSocket(path) })
  session.on('error', () => {})
  await once(session, 'connect')
  session.setLocalWindowSize(limits.connectionWindow)
  await once(session, 'remoteSettings')

  const dials = session.request({ ':method': 'POST', ':path': '/v1/dials' })
  dials.on('error', () => {})
  await once(dials, 'response')

  /** Waits until the guest has taken the refusal: one that reads none is sent none, and its records wait at its side. */
  async function refuse({ id }: Record, refused: string): Promise<void> {
    counts.refused++
    if (!dials.write(`${JSON.stringify({ id, refused })}\n`)) await once(dials, 'drain')
  }

  async function dial({ id, name }: Record): Promise<void> {
    counts.mostDialling = Math.max(counts.mostDialling, ++counts.dialling)
    if (limits.dialMs > 0) await new Promise((resolve) => setTimeout(resolve, limits.dialMs))
    counts.dialling--
    if (session.destroyed) return
    counts.open++
    const stream = holding(limits.held, () =>
      session.request({ ':method': 'POST', ':path': `/v1/dial/${id}` }),
    )
    stream.on('error', () => {})
    stream.on('close', () => {
      counts.open--
      if (stream.rstCode === constants.NGHTTP2_ENHANCE_YOUR_CALM) counts.failed++
    })
    stream.once('response', (headers) => {
      if (headers[':status'] !== 200) {
        counts.failed++
        stream.close(constants.NGHTTP2_CANCEL)
        return
      }
      if (limits.compact) compact(stream)
      serve(name, stream)
    })
  }

  async function follow(): Promise<void> {
    for await (const line of lines(dials)) {
      const record = parse(line)
      counts.records++
      // Decided at once, in the order they came: a record is dialled or refused, and never queued.
      if (record.name.startsWith('denied.')) await refuse(record, 'denied')
      else if (counts.open + counts.dialling >= limits.open) await refuse(record, 'too many connections')
      else if (counts.dialling >= limits.dialling) await refuse(record, 'too many dials at a time')
      else void dial(record)
    }
  }
  follow().catch(() => session.destroy())

  return {
    session,
    counts,
    async ask(method, path, body) {
      const stream = control.request({ ':method': method, ':path': path })
      stream.end(body === undefined ? undefined : JSON.stringify(body))
      let text = ''
      for await (const part of stream) text += part
      return text === '' ? undefined : JSON.parse(text)
    },
  }
}

/** A stream of HTTP/2 takes no high water mark, so it gets the default, which is 64 KiB, unless that is another meanwhile. */
function holding<T>(bytes: number, make: () => T): T {
  const usual = getDefaultHighWaterMark(false)
  setDefaultHighWaterMark(false, bytes)
  try {
    return make()
  } finally {
    setDefaultHighWaterMark(false, usual)
  }
}

/**
 * What waits for a reader is kept in buffers of its own size. As it comes, each piece is a view of what was read from the
 * socket in one go (64 KiB): one byte that nobody reads would keep all of it, and every piece costs an object besides.
 */
function compact(stream: ClientHttp2Stream): void {
  const [push, read] = [stream.push.bind(stream), stream.read.bind(stream)]
  let tail = Buffer.alloc(0)
  let used = 0
  const flush = () => {
    if (used > 0) push(tail.subarray(0, used))
    ;[tail, used] = [Buffer.alloc(0), 0]
  }
  stream.push = (piece: Buffer | null) => {
    if (piece === null) flush()
    if (piece === null || (stream.readableFlowing === true && stream.readableLength === 0)) return push(piece)
    if (stream.readableLength === 0 || piece.length >= TAIL_BYTES) {
      flush()
      return push(Buffer.from(piece))
    }
    if (used + piece.length > tail.length) {
      flush()
      tail = Buffer.allocUnsafeSlow(TAIL_BYTES)
    }
    used += piece.copy(tail, used)
    return stream.readableLength + used < stream.readableHighWaterMark
  }
  // Whoever reads finds all there is: the tail waits only while nobody does.
  stream.read = (size?: number) => {
    flush()
    return read(size)
  }
}

async function* lines(stream: ClientHttp2Stream): AsyncGenerator<string> {
  let kept = ''
  for await (const part of stream) {
    const whole = (kept + part).split('\n')
    kept = whole.pop()!
    if (kept.length > MAX_LINE) throw new Error('the guest sends a record that is too long')
    yield* whole
  }
}

function parse(line: string): Record {
  const { id, name } = JSON.parse(line)
  if (!Number.isSafeInteger(id) || id < 0 || typeof name !== 'string' || name.length > 255)
    throw new Error('the guest sends what is no record')
  return { id, name }
}
