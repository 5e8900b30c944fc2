/** One call over connections that are kept: a request, and its answer as it comes. */
import type { Agent, IncomingMessage, RequestOptions } from 'node:http'
import { PyroError } from '../../contract/errors.ts'
import { readAnswer } from './answer.ts'
import type { CallOptions } from './types.ts'

/** Idle connections end before the engine would end them. */
const IDLE_MS = 5 * 60_000
/** No operation is silent for so long. */
export const SILENCE_MS = 15 * 60_000

export interface Sender {
  send: (name: string, body: string, options: CallOptions) => Promise<unknown>
  close: () => void
}
interface SenderOptions {
  secure?: boolean
  /** Where each request goes, without its path. */
  to: RequestOptions
  /** Before /v1/… */
  prefix?: string
  /** What a failure of the connection means. `reused`: it had been used before, so nothing is known of the other end. */
  lost: (error: Error, reused: boolean) => PyroError
}

// Loaded this way because importing it as a module evaluates all of its lazy parts, which costs more than Node's start.
const load = (secure: boolean) =>
  secure ? process.getBuiltinModule('node:https') : process.getBuiltinModule('node:http')

export function sender({ secure = false, to, prefix = '', lost }: SenderOptions): Sender {
  let agent: Agent | undefined

  function send(name: string, body: string, { signal, onProgress }: CallOptions): Promise<unknown> {
    const http = load(secure)
    agent ??= new http.Agent({ keepAlive: true, maxFreeSockets: 16, timeout: IDLE_MS })
    const answer = Promise.withResolvers<unknown>()
    const headers = {
      ...(to.headers as Record<string, string> | undefined),
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      ...(onProgress ? { accept: 'application/x-ndjson' } : {}),
    }
    const request = http.request({ ...to, agent, path: `${prefix}/v1/${name}`, method: 'POST', headers })
    const abort = () => request.destroy(cancelled(signal))
    const fail = (error: Error) =>
      answer.reject(error instanceof PyroError ? error : lost(error, request.reusedSocket))
    signal?.addEventListener('abort', abort, { once: true })
    request.setTimeout(SILENCE_MS, () => request.destroy(new Error('no answer')))
    request.on('error', fail)
    request.on('response', (response: IncomingMessage) => {
      readAnswer(response, onProgress).then(answer.resolve, fail)
    })
    request.end(body)
    return answer.promise.finally(() => signal?.removeEventListener('abort', abort))
  }

  return { send, close: () => agent?.destroy() }
}

export const cancelled = (signal?: AbortSignal): PyroError =>
  new PyroError('cancelled', 'The call was cancelled.', { cause: signal?.reason })
