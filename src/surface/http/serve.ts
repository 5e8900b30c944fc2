/** The engine's HTTP face on a unix socket: `POST /v1/<operation>`, one table lookup is the whole router. */
import { chmodSync, rmSync } from 'node:fs'
import { type IncomingMessage, type ServerResponse, createServer } from 'node:http'
import { PyroError } from '../../contract/errors.ts'
import { type Handlers, OPERATIONS } from '../../contract/table.ts'
import { type Call, answerCall } from './answer.ts'
import { openApi } from './openapi.ts'
import { refuse } from './reply.ts'

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
export interface HttpServer {
  /** Calls that have not been answered yet. */
  inFlight: () => number
  /** Takes no more calls, lets those under way end, answers the rest with engine_stopping. */
  close: () => Promise<void>
}

const MAX_HEADER_BYTES = 16_384
const HEADERS_MS = 10_000
const REQUEST_MS = 60_000
/** Longer than any client of ours keeps an idle connection, so that none meets a closing one. */
const KEEP_ALIVE_MS = 15 * 60_000
const CLOSE_GRACE_MS = 10_000

const PREFIX = '/v1/'
const fromSource = import.meta.url?.endsWith('.ts') === true

export async function serve(options: ServeOptions): Promise<HttpServer> {
  const {
    handlers,
    socket,
    version,
    log = () => {},
    checkOutput = fromSource,
    closeGraceMs = CLOSE_GRACE_MS,
  } = options
  const calls = new Set<Call>()
  let closing = false
  let document: string | undefined

  const server = createServer(
    {
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout: HEADERS_MS,
      requestTimeout: REQUEST_MS,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connectionsCheckingInterval: 5000,
    },
    (request, response) => {
      response.sendDate = false
      response.setHeader('pyro-version', version)
      route(request, response)
    },
  )
  // Its default answer is a bare status line; the connection is not worth more than that either.
  server.on('clientError', (_error, connection) => connection.destroy())

  function route(request: IncomingMessage, response: ServerResponse): void {
    const path = (request.url ?? '').split('?', 1)[0]!
    if (path === '/v1/openapi.json' && request.method === 'GET') {
      document ??= JSON.stringify(openApi(version))
      response.writeHead(200, { 'content-type': 'application/json' }).end(document)
      return
    }
    const name = path.startsWith(PREFIX) ? path.slice(PREFIX.length) : ''
    if (!Object.hasOwn(OPERATIONS, name)) {
      const hint = 'GET /v1/openapi.json lists the operations.'
      return refuse(
        request,
        response,
        new PyroError('unknown_operation', `No operation is at ${path}.`, { hint }),
      )
    }
    if (request.method !== 'POST') {
      return refuse(
        request,
        response,
        new PyroError('invalid_input', `${path} takes POST, not ${request.method}.`),
      )
    }
    if (closing) return refuse(request, response, stopping())
    start(name as keyof Handlers, request, response)
  }

  function start(name: keyof Handlers, request: IncomingMessage, response: ServerResponse): void {
    const call = answerCall({ name, handlers, request, response, checkOutput, log })
    calls.add(call)
    void call.done.then(() => calls.delete(call))
  }

  async function close(): Promise<void> {
    closing = true
    const closed = new Promise<void>((resolve) => server.close(() => resolve()))
    server.closeIdleConnections()
    const open = [...calls]
    for (const call of open) {
      call.last()
      // A read can be asked again of the next engine; what changes something should end.
      if (OPERATIONS[call.name].effects.readOnly) call.fail(stopping())
    }
    await bounded(Promise.all(open.map(({ answered }) => answered)), closeGraceMs)
    for (const call of open) call.fail(stopping())
    await bounded(closed, 1000)
    server.closeAllConnections()
  }

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
  return { inFlight: () => calls.size, close }
}

const stopping = () =>
  new PyroError('engine_stopping', 'The engine is stopping.', { hint: 'Ask again: the next call starts it.' })

function bounded(work: Promise<unknown>, ms: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms)
    void work.then(() => {
      clearTimeout(timer)
      resolve()
    })
  })
}
