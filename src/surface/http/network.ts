/** The engine's API on a TCP address: gates, bounds on strangers, then the same routes as on the socket. */
import { type IncomingMessage, type Server, type ServerResponse, createServer } from 'node:http'
import type { Duplex } from 'node:stream'
import { PyroError } from '../../contract/errors.ts'
import { type Gate, challenge, originOf, proofOf, refusedHost, unauthorized } from './gate.ts'
import { preflight, share } from './cors.ts'
import { malformed } from './malformed.ts'
import { refuse } from './reply.ts'
import { LIMITS } from './serve.ts'
import { strangers } from './strangers.ts'

export interface NetworkOptions extends Gate {
  host: string
  /** 0: a free one. */
  port: number
  /** What a caller has to send, as of now. */
  token: () => string
  route: (request: IncomingMessage, response: ServerResponse) => void
  /** How long an answer may wait for a caller that does not read it, in milliseconds. Default: 60,000. */
  stallMs?: number
  log: (event: string, fields?: Record<string, unknown>) => void
}
export interface NetworkServer {
  server: Server
  port: number
  allow: (gate: Gate) => void
  dropAll: () => void
  close: () => Promise<void>
}

const STALL_MS = 60_000

/** @throws address_unavailable */
export async function openNetwork(options: NetworkOptions): Promise<NetworkServer> {
  const { host, token, route, log, stallMs = STALL_MS } = options
  let gate: Gate = options
  // A request without Host is refused here, with a body that says why.
  const server = createServer(
    { ...LIMITS, requireHostHeader: false, keepAlive: true },
    (request, response) => {
      handle(request, response, () => {})
    },
  )
  server.on('checkContinue', (request, response) => handle(request, response, () => response.writeContinue()))
  server.on('clientError', (error, connection: Duplex) => malformed(error, connection))
  const unknown = strangers(server)

  function handle(request: IncomingMessage, response: ServerResponse, goOn: () => void): void {
    response.sendDate = false
    response.once('prefinish', () => request.socket.setTimeout(stallMs))
    const origin = originOf(request, gate)
    const refused = refusedHost(request, gate) ?? (origin instanceof PyroError ? origin : undefined)
    if (refused !== undefined) return turnAway(request, response, refused)
    if (typeof origin === 'string') {
      share(response, origin)
      if (preflight(request, response)) return
    }
    const proof = proofOf(request, token())
    if (proof !== 'right') {
      response.setHeader('www-authenticate', challenge(proof))
      const say = () => turnAway(request, response, unauthorized(proof))
      if (proof === 'missing') return say()
      return unknown.slowly(request.socket, say)
    }
    if (!unknown.admit(request.socket)) return turnAway(request, response, tooMany())
    goOn()
    route(request, response)
  }

  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) => reject(unavailable(options, error)))
    server.listen({ host, port: options.port, ipv6Only: host !== '::' }, resolve)
  })
  server.removeAllListeners('error')
  server.on('error', (error) => log('http.error', { error: String(error) }))
  return {
    server,
    port: (server.address() as { port: number }).port,
    allow(next) {
      gate = next
    },
    dropAll: () => server.closeAllConnections(),
    async close() {
      const closed = new Promise<void>((resolve) => server.close(() => resolve()))
      server.closeAllConnections()
      await closed
    },
  }
}

/** Its connection ends with it: whoever may not ask keeps no place. */
function turnAway(request: IncomingMessage, response: ServerResponse, error: PyroError): void {
  if (!response.headersSent) response.setHeader('connection', 'close')
  response.once('finish', () => request.socket.destroySoon())
  refuse(request, response, error)
}

const tooMany = () =>
  new PyroError('too_many_connections', 'The engine has as many connections as it takes.', {
    hint: 'Close some, or keep one open for several calls.',
  })

const WHY: Record<string, string> = {
  EADDRINUSE: 'something else listens there',
  EADDRNOTAVAIL: 'this machine does not have the address',
  EACCES: 'this user may not listen there',
}

function unavailable({ host, port }: NetworkOptions, error: NodeJS.ErrnoException): PyroError {
  const why = WHY[error.code ?? ''] ?? error.message
  return new PyroError('address_unavailable', `The engine cannot listen on ${host} port ${port}: ${why}.`, {
    hint: 'Give another address; with port 0 a free port is taken: pyro daemon listen 127.0.0.1:0.',
    cause: error,
  })
}
