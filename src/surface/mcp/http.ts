/**
 * The MCP face over streamable HTTP, in the engine's own process. It keeps nothing between two requests, so a host of
 * either age goes on after the engine was restarted. Who may ask is decided before.
 */
import { randomUUID } from 'node:crypto'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { createMcpHandler } from '@modelcontextprotocol/server'
import { toPyroError } from '../../contract/errors.ts'
import { parse, readBytes } from '../http/body.ts'
import { refuse } from '../http/reply.ts'
import type { Asked } from './call.ts'
import { mcpServer } from './server.ts'

export interface McpOverHttp {
  handle: (request: IncomingMessage, response: ServerResponse) => Promise<void>
  close: () => Promise<void>
}
interface Message {
  method?: unknown
  id?: unknown
  params?: { requestId?: unknown }
}

/** Hosts that wait for news of the tools, which never change while an engine runs. */
const MAX_SUBSCRIPTIONS = 64
const SESSION = 'mcp-session-id'

export function mcpOverHttp(engine: Asked, onerror: (error: Error) => void): McpOverHttp {
  const handler = createMcpHandler(() => mcpServer(engine), { onerror, maxSubscriptions: MAX_SUBSCRIPTIONS })
  /** Requests under way of hosts of 2025, which cancel one by a message of its own. */
  const underWay = new Map<string, AbortController>()

  async function handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const abort = new AbortController()
    response.once('close', () => abort.abort())
    let body: Buffer | undefined
    try {
      if (request.method === 'POST') body = await readBytes(request)
    } catch (error) {
      return refuse(request, response, toPyroError(error))
    }
    const message = body === undefined ? undefined : messageOf(body)
    const key = keyOf(request, message?.id)
    if (message?.method === 'notifications/cancelled')
      underWay.get(keyOf(request, message.params?.requestId) ?? '')?.abort()
    if (key !== undefined) underWay.set(key, abort)
    try {
      const answer = await handler.fetch(asked(request, body, abort.signal))
      // What becomes of the connection is for its server to say.
      const { connection: _, ...headers } = Object.fromEntries(answer.headers)
      // No session is kept by this name: it is what tells one host's requests from another's.
      if (message?.method === 'initialize' && answer.ok) headers[SESSION] ??= randomUUID()
      if (response.destroyed) return
      response.writeHead(answer.status, headers)
      if (answer.body === null) response.end()
      else await pipeline(Readable.fromWeb(answer.body as never), response)
    } catch (error) {
      if (!abort.signal.aborted) onerror(error as Error)
      response.destroy()
    } finally {
      if (key !== undefined && underWay.get(key) === abort) underWay.delete(key)
    }
  }

  return { handle, close: () => handler.close() }
}

/** The request as the protocol's library takes it. */
function asked(request: IncomingMessage, body: Buffer | undefined, signal: AbortSignal): Request {
  const headers = new Headers()
  for (const [name, values = []] of Object.entries(request.headersDistinct))
    for (const value of values) headers.append(name, value)
  // What the gate has read is nobody else's business.
  headers.delete('authorization')
  const given = body === undefined ? {} : { body: new Uint8Array(body) }
  return new Request('http://localhost/mcp', { method: request.method ?? 'GET', headers, signal, ...given })
}

function messageOf(body: Buffer): Message | undefined {
  try {
    const value = parse(body)
    return typeof value === 'object' && value !== null ? (value as Message) : undefined
  } catch {
    // The library says what is wrong with it.
    return undefined
  }
}

function keyOf(request: IncomingMessage, id: unknown): string | undefined {
  const session = request.headersDistinct[SESSION]?.[0]
  const named = typeof id === 'string' || typeof id === 'number'
  return session === undefined || !named ? undefined : JSON.stringify([session, id])
}
