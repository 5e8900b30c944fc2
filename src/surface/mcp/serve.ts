/** The MCP face over standard input and output, for hosts of 2025 and of 2026-07-28. */
import { serveStdio } from '@modelcontextprotocol/server/stdio'
import { client } from '../sdk/client.ts'
import { mcpServer } from './server.ts'

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
