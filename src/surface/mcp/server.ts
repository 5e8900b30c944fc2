/** The tools as an MCP server, whatever it is spoken over and whoever answers the calls. */
import { McpServer, type StandardSchemaWithJSON } from '@modelcontextprotocol/server'
import { VERSION } from '../sdk/version.ts'
import { type Asked, callTool } from './call.ts'
import { INSTRUCTIONS } from './instructions.ts'
import { TOOLS, type Tool } from './tools.ts'

export function mcpServer(engine: Asked): McpServer {
  const server = new McpServer(
    { name: 'pyro', version: VERSION },
    { capabilities: { tools: {} }, instructions: INSTRUCTIONS },
  )
  for (const tool of TOOLS) register(server, engine, tool)
  return server
}

function register(server: McpServer, engine: Asked, tool: Tool): void {
  const { name, operation, inputSchema, outputSchema } = tool
  const { readOnly, destructive, idempotent } = operation.effects
  server.registerTool(
    name,
    {
      title: operation.summary.replace(/\.$/, ''),
      description: `${operation.summary} ${operation.description}`,
      inputSchema: unchecked(inputSchema),
      outputSchema: unchecked(outputSchema),
      annotations: {
        readOnlyHint: readOnly,
        destructiveHint: destructive,
        idempotentHint: idempotent,
        openWorldHint: false,
      },
    },
    (input, { mcpReq }) => {
      const token = mcpReq._meta?.progressToken
      let count = 0
      const tell = (message: string) => {
        const params = { progressToken: token!, progress: ++count, message }
        mcpReq.notify({ method: 'notifications/progress', params }).catch(() => {})
      }
      return callTool({
        engine,
        tool,
        input,
        signal: mcpReq.signal,
        tell: token === undefined ? undefined : tell,
      })
    },
  )
}

/** Announced as it is; the engine checks what comes, so that an error is the same whoever asks. */
function unchecked(
  schema: Record<string, unknown>,
): StandardSchemaWithJSON<unknown, Record<string, unknown>> {
  const validate = (value: unknown) => ({ value: value as Record<string, unknown> })
  return {
    '~standard': {
      version: 1 as const,
      vendor: 'pyro',
      validate,
      jsonSchema: { input: () => schema, output: () => schema },
    },
  }
}
