/** The engine's servers: one on a unix socket for whoever may open it, and those on addresses. */
import { chmodSync, rmSync } from 'node:fs'
import { type Server, type ServerOptions, createServer } from 'node:http'
import type { Handlers } from '../../contract/table.ts'
import { type Face, bounded, face as makeFace } from './face.ts'

export interface ServeOptions {
  handlers: Handlers
  /** Path of the unix socket; what is there is replaced, so the caller must hold the engine's lock. */
  socket: string
  version: string
  log?: (event: string, fields?: Record<string, unknown>) => void
  /** Check what handlers answer against the contract. Default: when running from source. */
  checkOutput?: boolean
  /** How long `close` waits for calls that change something, in milliseconds. */
  closeGraceMs?: number
}
export interface HttpServer extends Pick<Face, 'ask' | 'inFlight' | 'route'> {
  /** Closes this server too when all is closed. Gives how to forget it. */
  add: (server: Server) => () => void
  /** Takes no more calls, lets those under way end, answers the rest with engine_stopping. */
  close: () => Promise<void>
}

/** Bounds on what is sent slowly or without end; a call itself takes as long as it takes. */
export const LIMITS = {
  maxHeaderSize: 16_384,
  headersTimeout: 10_000,
  requestTimeout: 60_000,
  /** Longer than any client of ours keeps an idle connection, so that none meets a closing one. */
  keepAliveTimeout: 15 * 60_000,
  connectionsCheckingInterval: 5000,
} satisfies ServerOptions

const CLOSE_GRACE_MS = 10_000
const fromSource = import.meta.url?.endsWith('.ts') === true

export async function serve(options: ServeOptions): Promise<HttpServer> {
  const { handlers, socket, version, log = () => {}, closeGraceMs = CLOSE_GRACE_MS } = options
  const face = makeFace({ handlers, version, log, checkOutput: options.checkOutput ?? fromSource })
  const server = createServer(LIMITS, (request, response) => {
    response.sendDate = false
    face.route(request, response, 'socket')
  })
  // Its default answer is a bare status line; the connection is not worth more than that either.
  server.on('clientError', (_error, connection) => connection.destroy())
  const servers = new Set([server])

  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    rmSync(socket, { force: true })
    server.listen({ path: socket }, () => {
      chmodSync(socket, 0o600)
      server.off('error', reject)
      server.on('error', (error) => log('http.error', { error: String(error) }))
      resolve()
    })
  })

  return {
    route: face.route,
    ask: face.ask,
    inFlight: face.inFlight,
    add(more) {
      servers.add(more)
      return () => servers.delete(more)
    },
    async close() {
      const all = [...servers]
      const closed = Promise.all(
        all.map((each) => new Promise<void>((resolve) => each.close(() => resolve()))),
      )
      for (const each of all) each.closeIdleConnections()
      await face.close(closeGraceMs)
      await bounded(closed, 1000)
      for (const each of all) each.closeAllConnections()
    },
  }
}
