/**
 * Bounds on connections. Anybody on this machine can connect: until a connection has brought the right token it is a
 * stranger's. Strangers have few places, the newest the last of them, so that they cannot keep a caller out who brings the
 * token at once.
 */
import type { Server } from 'node:http'
import type { Socket } from 'node:net'

export interface Strangers {
  /** The connection has brought the token. False: there are as many of those as may be. */
  admit: (socket: Socket) => boolean
  /** Does it after those who guessed before, one a turn; not at all where too many wait. */
  slowly: (socket: Socket, say: () => void) => void
}

const MAX_STRANGERS = 64
const MAX_KNOWN = 256
/** Wrong tokens are answered one in so many milliseconds, all callers together. */
const TURN_MS = 100
const MAX_WAITING = 32

export function strangers(server: Server): Strangers {
  const unknown = new Set<Socket>()
  const known = new Set<Socket>()
  let turns: Promise<void> = Promise.resolve()
  let waiting = 0

  server.on('connection', (socket) => {
    unknown.add(socket)
    socket.once('close', () => {
      unknown.delete(socket)
      known.delete(socket)
    })
    const [oldest] = unknown
    if (unknown.size > MAX_STRANGERS) oldest!.destroy()
  })

  return {
    admit(socket) {
      if (known.has(socket)) return true
      if (known.size >= MAX_KNOWN) return false
      unknown.delete(socket)
      known.add(socket)
      return true
    },
    slowly(socket, say) {
      if (waiting >= MAX_WAITING) return void socket.destroy()
      waiting++
      turns = turns.then(async () => {
        await new Promise((resolve) => setTimeout(resolve, TURN_MS).unref())
        waiting--
        say()
      })
    },
  }
}
