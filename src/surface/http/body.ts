/** A request's body: bounded, JSON and nothing else. */
import type { IncomingMessage } from 'node:http'
import { PyroError } from '../../contract/errors.ts'

export const MAX_BODY_BYTES = 8 * 1_048_576

/** @throws invalid_input, cancelled */
export async function readBody(request: IncomingMessage): Promise<unknown> {
  return parse(await readBytes(request))
}

/** The body as it came. @throws invalid_input, cancelled */
export function readBytes(request: IncomingMessage): Promise<Buffer> {
  const refused = checkHeaders(request)
  if (refused !== undefined) return Promise.reject(refused)
  return new Promise((resolve, reject) => {
    const parts: Buffer[] = []
    let size = 0
    request.on('data', (part: Buffer) => {
      size += part.length
      if (size > MAX_BODY_BYTES) {
        request.pause()
        reject(tooLarge())
      } else parts.push(part)
    })
    request.on('end', () => resolve(parts.length === 1 ? parts[0]! : Buffer.concat(parts)))
    request.on('error', (cause) =>
      reject(new PyroError('cancelled', 'The request was not sent to its end.', { cause })),
    )
  })
}

function checkHeaders({ headers }: IncomingMessage): PyroError | undefined {
  const type = (headers['content-type'] ?? '').split(';', 1)[0]!.trim().toLowerCase()
  if (type !== 'application/json') {
    return new PyroError(
      'invalid_input',
      `The content type must be application/json, not ${JSON.stringify(type)}.`,
    )
  }
  return Number(headers['content-length'] ?? 0) > MAX_BODY_BYTES ? tooLarge() : undefined
}

const utf8 = new TextDecoder('utf-8', { fatal: true })

/** @throws invalid_input */
export function parse(body: Buffer): unknown {
  if (body.length === 0) return {}
  let text: string
  try {
    text = utf8.decode(body)
  } catch {
    throw new PyroError('invalid_input', 'The body is not UTF-8.')
  }
  try {
    return JSON.parse(text)
  } catch (cause) {
    throw new PyroError('invalid_input', `The body is not JSON: ${(cause as Error).message}`)
  }
}

const tooLarge = () => new PyroError('invalid_input', `The body is larger than ${MAX_BODY_BYTES} bytes.`)
