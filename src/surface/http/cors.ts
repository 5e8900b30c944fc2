/** What a browser has to be told before it gives a page of an allowed origin an answer (Fetch standard, CORS protocol). */
import type { IncomingMessage, ServerResponse } from 'node:http'

const REQUEST_HEADERS =
  'authorization, content-type, accept, last-event-id, mcp-protocol-version, mcp-session-id, mcp-method, mcp-name'
const RESPONSE_HEADERS = 'pyro-version, www-authenticate, mcp-session-id'
const REMEMBER_SECONDS = '600'

export function share(response: ServerResponse, origin: string): void {
  response.setHeader('access-control-allow-origin', origin)
  response.setHeader('access-control-expose-headers', RESPONSE_HEADERS)
  response.setHeader('vary', 'origin')
}

/** Answers what a browser asks before it sends a page's request, which comes without the token. */
export function preflight(request: IncomingMessage, response: ServerResponse): boolean {
  if (request.method !== 'OPTIONS' || request.headers['access-control-request-method'] === undefined)
    return false
  response
    .writeHead(204, {
      'access-control-allow-methods': 'GET, POST',
      'access-control-allow-headers': REQUEST_HEADERS,
      'access-control-max-age': REMEMBER_SECONDS,
      ...(request.headers['access-control-request-private-network'] === undefined
        ? {}
        : { 'access-control-allow-private-network': 'true' }),
    })
    .end()
  return true
}
