/**
 * Keeps a guest from ending this process. A stream that breaks off within its header block still holds a part of it, and
 * where the garbage collector takes the stream's session first, an assertion of Node's own fails in ~Http2Session
 * (`current_nghttp2_memory_ == 0`, seen in Node 26.10). So a session's native half is held here until those of its streams
 * are gone. They are reached by the name Node gives their property; where that has another, nothing is held.
 */
import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2'

interface Held {
  native: object
  streams: number
}

const held = new Set<Held>()
const bySession = new WeakMap<ClientHttp2Session, Held>()
const collected = new FinalizationRegistry<Held>((of) => {
  of.streams--
  if (of.streams === 0) held.delete(of)
})

export function holdUntilCollected(session: ClientHttp2Session, stream: ClientHttp2Stream): void {
  const hold = () => {
    const [ofSession, ofStream] = [nativeOf(session), nativeOf(stream)]
    if (ofSession === undefined || ofStream === undefined) return
    const one = bySession.get(session) ?? { native: ofSession, streams: 0 }
    bySession.set(session, one)
    one.streams++
    held.add(one)
    collected.register(ofStream, one)
  }
  // A stream has no native half before its session is connected.
  if (stream.pending) stream.once('ready', hold)
  else hold()
}

/** How many sessions are held, for tests. */
export const heldSessions = (): number => held.size

function nativeOf(of: object): object | undefined {
  const name = Object.getOwnPropertySymbols(of).find((symbol) => symbol.description === 'kHandle')
  const native = name && (of as Record<symbol, unknown>)[name]
  return typeof native === 'object' && native !== null ? native : undefined
}
