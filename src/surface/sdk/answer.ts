/** An answer of the engine: one JSON value, or lines of progress and a last one. */
import type { IncomingMessage } from 'node:http'
import { type ErrorBody, PyroError, isErrorCode } from '../../contract/errors.ts'
import type { Progress } from '../../contract/table.ts'
import { VERSION } from './version.ts'

interface Line {
  progress?: Progress
  result?: unknown
  error?: ErrorBody
}

/** @throws PyroError as the engine said it; any other error when the answer broke off */
export async function readAnswer(
  response: IncomingMessage,
  onProgress?: (progress: Progress) => void,
): Promise<unknown> {
  const engineVersion = String(response.headers['pyro-version'] ?? '')
  if (response.headers['content-type'] === 'application/x-ndjson')
    return await readLines(response, engineVersion, onProgress)
  const parts: Buffer[] = []
  await consume(response, (part) => parts.push(part))
  return whole(Buffer.concat(parts).toString(), response.statusCode, engineVersion)
}

/** An answer that is one JSON value. @throws PyroError as the engine said it */
export function whole(body: string, status: number | undefined, engineVersion: string): unknown {
  const answer = parsed(body, status)
  if (status === 200) return answer
  throw toError(answer.error, engineVersion)
}

/** What is no JSON was said by something between us and the engine. */
function parsed(body: string, status: number | undefined): Line {
  try {
    return JSON.parse(body) as Line
  } catch {
    throw new Error(`what came was no answer of an engine, with HTTP status ${status}`)
  }
}

async function readLines(
  response: IncomingMessage,
  version: string,
  onProgress?: (progress: Progress) => void,
): Promise<unknown> {
  let rest: Buffer = Buffer.alloc(0)
  let last: Line | undefined
  await consume(response, (part) => {
    rest = rest.length === 0 ? part : Buffer.concat([rest, part])
    for (let at = rest.indexOf(10); at >= 0; at = rest.indexOf(10)) {
      const line = JSON.parse(rest.subarray(0, at).toString()) as Line
      rest = rest.subarray(at + 1)
      if (line.progress !== undefined) onProgress?.(line.progress)
      else last = line
    }
  })
  if (last !== undefined && 'result' in last) return last.result
  throw toError(last?.error, version)
}

function consume(response: IncomingMessage, take: (part: Buffer) => void): Promise<void> {
  return new Promise((resolve, reject) => {
    response.on('data', (part: Buffer) => {
      try {
        take(part)
      } catch (error) {
        response.destroy(error as Error)
      }
    })
    response.on('end', resolve)
    response.on('error', reject)
    response.on('close', () => reject(new Error('the answer broke off')))
  })
}

function toError(body: ErrorBody | undefined, engineVersion: string): PyroError {
  if (body === undefined)
    return new PyroError('engine_unreachable', 'The answer of the engine has no result.')
  const code = isErrorCode(body.code) ? body.code : 'internal'
  return new PyroError(code, body.message, { hint: withVersion(body, engineVersion) })
}

/** Where two builds meet, a misunderstanding is likely because of that. */
function withVersion({ code, hint }: ErrorBody, engineVersion: string): string | undefined {
  const suspect = ['invalid_input', 'unknown_operation', 'internal'].includes(code)
  if (!suspect || engineVersion === VERSION || engineVersion === '') return hint
  const advice =
    `The running engine is version ${engineVersion}, this client ${VERSION}: after pyro daemon stop the next command ` +
    "starts the client's own; workspaces go on running."
  return hint === undefined ? advice : `${hint} ${advice}`
}
