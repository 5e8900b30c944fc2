/** What an engine offers on an address: its API, and MCP beside it. */
import { MCP_PATH, type OpenListener } from '../engine/listen.ts'
import type { Engine } from '../engine/engine.ts'
import type { McpOverHttp } from '../surface/mcp/http.ts'
import { toPyroError } from '../contract/errors.ts'
import { refuse } from '../surface/http/reply.ts'
import { openNetwork } from '../surface/http/network.ts'
import type { HttpServer } from '../surface/http/serve.ts'

interface Network {
  open: OpenListener
  close: () => Promise<void>
}

/** @param server the one that is asked once something is open */
export function networkOf(server: () => HttpServer, log: Engine['log']): Network {
  let mcp: Promise<McpOverHttp> | undefined

  // Loaded with the first request: most engines never speak MCP themselves.
  const loaded = () =>
    (mcp ??= import('../surface/mcp/http.ts').then(({ mcpOverHttp }) =>
      mcpOverHttp({ call: server().ask as never }, (error) =>
        log('mcp.error', { error: error.message.slice(0, 500) }),
      ),
    ))

  return {
    async open(setting, token) {
      const { route, add } = server()
      const opened = await openNetwork({
        ...setting,
        token,
        log,
        route(request, response) {
          const path = (request.url ?? '').split('?', 1)[0]
          if (path !== MCP_PATH) return route(request, response, 'network')
          loaded()
            .then(({ handle }) => handle(request, response))
            .catch((error) => refuse(request, response, toPyroError(error)))
        },
      })
      const forget = add(opened.server)
      return {
        ...opened,
        async close() {
          forget()
          await opened.close()
        },
      }
    },
    close: async () => await (await mcp)?.close(),
  }
}
