/** A server on an address with the operations of testServer, and raw connections to it. */
import { randomBytes } from 'node:crypto'
import { type Socket, connect } from 'node:net'
import { type NetworkOptions, type NetworkServer, openNetwork } from '../../src/surface/http/network.ts'
import { type TestServer, testServer } from './table.ts'

export interface TestNetwork extends AsyncDisposable {
  at: TestServer
  server: NetworkServer
  token: string
  url: string
  logged: unknown[]
}

export async function testNetwork(
  more: Parameters<typeof testServer>[0] = {},
  options: Partial<Pick<NetworkOptions, 'host' | 'allowed_hosts' | 'allowed_origins' | 'stallMs'>> = {},
): Promise<TestNetwork> {
  const at = await testServer(more)
  const token = `pyro_${randomBytes(32).toString('base64url')}`
  const logged: unknown[] = []
  const server = await openNetwork({
    host: '127.0.0.1',
    port: 0,
    allowed_hosts: [],
    allowed_origins: [],
    ...options,
    token: () => token,
    route: (request, response) => at.server.route(request, response, 'network'),
    log: (...line) => logged.push(line),
  })
  at.server.add(server.server)
  return {
    at,
    server,
    token,
    url: `http://127.0.0.1:${server.port}`,
    logged,
    [Symbol.asyncDispose]: () => at[Symbol.asyncDispose](),
  }
}

export interface Raw {
  status: number
  head: string
  /** Of a body that is JSON. */
  error: { code: string; message: string } | undefined
  body: string
}

/** Sends bytes as they are, and reads until the other end closes the connection or `ms` are over. */
export async function raw(port: number, bytes: string | Buffer, ms = 5000, host = '127.0.0.1'): Promise<Raw> {
  const connection = connect(port, host)
  const parts: Buffer[] = []
  connection.on('data', (part) => parts.push(part as Buffer))
  connection.on('error', () => {})
  connection.write(bytes)
  await Promise.race([closed(connection), new Promise((resolve) => setTimeout(resolve, ms))])
  connection.destroy()
  return parsed(Buffer.concat(parts).toString())
}

export const closed = (connection: Socket): Promise<void> =>
  new Promise((resolve) => (connection.destroyed ? resolve() : connection.once('close', () => resolve())))

function parsed(text: string): Raw {
  const [head = '', ...rest] = text.split('\r\n\r\n')
  const body = rest.join('\r\n\r\n')
  const status = Number(head.split(' ')[1] ?? 0)
  return {
    status,
    head: head.toLowerCase(),
    body,
    error: body.startsWith('{"error"') ? JSON.parse(body).error : undefined,
  }
}

/** A whole request of `env_list`, with these headers in place of or beside the usual ones. */
export function asking(
  token: string,
  headers: Record<string, string | string[] | null> = {},
  line?: string,
): string {
  const all: Record<string, string | string[] | null> = {
    host: 'localhost',
    authorization: `Bearer ${token}`,
    'content-type': 'application/json',
    'content-length': '2',
    connection: 'close',
    ...headers,
  }
  const lines = Object.entries(all).flatMap(([name, values]) =>
    [values ?? []].flat().map((value) => `${name}: ${value}`),
  )
  return `${[line ?? 'POST /v1/env_list HTTP/1.1', ...lines].join('\r\n')}\r\n\r\n{}`
}
