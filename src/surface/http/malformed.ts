/** Answers to what is no request of HTTP, or none that came in time. */
import type { Duplex } from 'node:stream'
import { PyroError } from '../../contract/errors.ts'

/** By the code of Node's parser; its default is a bare status line. */
const ANSWERS: Record<string, [status: string, message: string]> = {
  HPE_HEADER_OVERFLOW: ['431 Request Header Fields Too Large', 'The headers of the request are too large.'],
  ERR_HTTP_REQUEST_TIMEOUT: ['408 Request Timeout', 'The request did not come in time.'],
}
const DEFAULT = ['400 Bad Request', 'The request is not well-formed HTTP.'] as const

export function malformed(error: Error, connection: Duplex): void {
  const { code } = error as NodeJS.ErrnoException
  const began = ((connection as { bytesWritten?: number }).bytesWritten ?? 0) > 0
  // What was answered before on this connection might be answered still: then nothing can be put between.
  if (code === 'ECONNRESET' || !connection.writable || began) return void connection.destroy()
  const [status, message] = ANSWERS[code ?? ''] ?? DEFAULT
  const body = JSON.stringify({ error: new PyroError('invalid_input', message).toBody() })
  const head = [
    `HTTP/1.1 ${status}`,
    'content-type: application/json',
    `content-length: ${Buffer.byteLength(body)}`,
    'connection: close',
  ]
  connection.end(`${head.join('\r\n')}\r\n\r\n${body}`, () => connection.destroy())
}
