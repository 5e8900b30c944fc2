/** The MCP face over standard input and output, for hosts of 2025 and of 2026-07-28. */
import { McpServer, type StandardSchemaWithJSON } from '@modelcontextprotocol/server'
import { serveStdio } from '@modelcontextprotocol/server/stdio'
import { type Client, client } from '../sdk/client.ts'
import { VERSION } from '../sdk/version.ts'
import { INSTRUCTIONS } from './instructions.ts'
import { TOOLS, type Tool } from './tools.ts'
import { callTool } from './call.ts'

/** Resolves when the host has closed our standard input. Nothing but the protocol is written to standard output. */
export async function serveMcp(): Promise<void> {
  const engine = client()
  const closed = new Promise<void>((resolve) => process.stdin.once('close', resolve).once('end', resolve))
  const handle = serveStdio(() => mcpServer(engine), {
    onerror: (error) => process.stderr.write(`pyro mcp: ${error.message}\n`),
  })
  await closed
  await handle.close()
  engine.close()
}

export function mcpServer(engine: Client): McpServer {
  const server = new McpServer(
    { name: 'pyro', version: VERSION },
    { capabilities: { tools: {} }, instructions: INSTRUCTIONS },
  )
  for (const tool of TOOLS) register(server, engine, tool)
  return server
}

function register(server: McpServer, engine: Client, tool: Tool): void {
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
