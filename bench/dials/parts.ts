/** The host's part in what the programs of native/bench/dials/programs.go do. */
import type { ClientHttp2Stream } from 'node:http2'

const PIECE = 32_768
const SLOW_BYTES = 64

export interface Parts {
  serve: (name: string, stream: ClientHttp2Stream) => void
  /** Bytes moved so far, by kind. */
  moved: Map<string, number>
  /** Streams that ended, by kind. */
  ended: Map<string, number>
  echoes: ClientHttp2Stream[]
  drips: ClientHttp2Stream[]
}

export function parts(): Parts {
  const moved = new Map<string, number>()
  const ended = new Map<string, number>()
  const echoes: ClientHttp2Stream[] = []
  const drips: ClientHttp2Stream[] = []
  const slow = new Set<ClientHttp2Stream>()
  const add = (to: Map<string, number>, kind: string, by: number) => to.set(kind, (to.get(kind) ?? 0) + by)
  setInterval(() => {
    for (const stream of slow) add(moved, 'slow-up', stream.read(SLOW_BYTES)?.length ?? 0)
  }, 1000).unref()

  function serve(name: string, stream: ClientHttp2Stream): void {
    const [kind = '', bytes] = name.split('.')
    stream.once('close', () => {
      slow.delete(stream)
      add(ended, kind, 1)
    })
    if (kind === 'slow-up' || kind === 'drip') {
      stream.on('readable', () => {})
      if (kind === 'slow-up') slow.add(stream)
      else drips.push(stream)
    } else if (kind === 'up') {
      stream.on('data', (piece: Buffer) => add(moved, kind, piece.length)).once('end', () => stream.end())
    } else if (kind === 'echo') echoes.push(stream)
    else {
      stream.resume()
      if (kind === 'down') pour(stream, Number(bytes), (sent) => add(moved, kind, sent))
      if (kind === 'slow-down' || kind === 'stuck-down') pour(stream, Number.POSITIVE_INFINITY, () => {})
    }
  }
  return { serve, moved, ended, echoes, drips }
}

/** Writes pieces as a socket would give them, each once the one before it has left. */
function pour(stream: ClientHttp2Stream, bytes: number, note: (sent: number) => void): void {
  if (bytes <= 0) return void stream.end()
  const piece = Buffer.alloc(Math.min(PIECE, bytes), 1)
  stream.write(piece, (error) => {
    if (error) return
    note(piece.length)
    pour(stream, bytes - piece.length, note)
  })
}

/** Sends a byte and waits for it to come back; milliseconds. */
export async function ping(stream: ClientHttp2Stream): Promise<number> {
  const from = performance.now()
  const back = new Promise((resolve) => stream.once('data', resolve))
  stream.write('x')
  await back
  return performance.now() - from
}
