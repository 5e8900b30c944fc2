/**
 * One call on a connection of its own, by HTTP/1.0: the answer ends with the connection. A command line makes one call
 * and ends, and Node's HTTP client takes half as long to load as Node itself.
 */
import { connect } from 'node:net'

export interface OnceAnswer {
  status: number
  headers: Record<string, string>
  body: string
}
export interface OnceRequest {
  socketPath: string
  path: string
  body: string
  signal?: AbortSignal | undefined
  /** How long nothing may come, in milliseconds. */
  silenceMs: number
}

/** @throws the error of the connection; an Error when the answer broke off */
export function askOnce({ socketPath, path, body, signal, silenceMs }: OnceRequest): Promise<OnceAnswer> {
  const { promise, resolve, reject } = Promise.withResolvers<OnceAnswer>()
  const connection = connect({ path: socketPath, ...(signal ? { signal } : {}) })
  const parts: Buffer[] = []
  connection.setTimeout(silenceMs, () => connection.destroy(new Error('no answer')))
  connection.on('connect', () => {
    const length = Buffer.byteLength(body)
    connection.write(
      `POST ${path} HTTP/1.0\r\nhost: engine\r\ncontent-type: application/json\r\ncontent-length: ${length}\r\n\r\n${body}`,
    )
  })
  connection.on('data', (part: Buffer) => parts.push(part))
  connection.on('error', reject)
  connection.on('end', () => {
    const answer = parse(Buffer.concat(parts))
    if (answer === undefined) reject(new Error('the answer broke off'))
    else resolve(answer)
  })
  return promise
}

function parse(bytes: Buffer): OnceAnswer | undefined {
  const split = bytes.indexOf('\r\n\r\n')
  if (split < 0) return undefined
  const [first = '', ...lines] = bytes.subarray(0, split).toString('latin1').split('\r\n')
  const headers = Object.fromEntries(
    lines.map((line) => [
      line.slice(0, line.indexOf(':')).toLowerCase(),
      line.slice(line.indexOf(':') + 1).trim(),
    ]),
  )
  const body = bytes.subarray(split + 4)
  if (headers['content-length'] !== undefined && Number(headers['content-length']) !== body.length)
    return undefined
  return { status: Number(first.split(' ')[1]), headers, body: body.toString() }
}
