/** What every server of the engine answers by: `POST /v1/<operation>`, one table lookup is the whole router. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { PyroError } from '../../contract/errors.ts'
import type { Operation } from '../../contract/operation.ts'
import { type Handlers, OPERATIONS, type Progress } from '../../contract/table.ts'
import { type Answering, type Call, answerCall } from './answer.ts'
import { readBody } from './body.ts'
import { openApi } from './openapi.ts'
import { type Reply, refuse, replyTo } from './reply.ts'

/** How a caller came: on this machine by the socket's file, or by an address. */
export type Way = 'socket' | 'network'

export interface AskOptions {
  signal?: AbortSignal | undefined
  onProgress?: ((progress: Progress) => void) | undefined
}
export interface Face {
  route: (request: IncomingMessage, response: ServerResponse, way: Way) => void
  /** A call from within the engine's own process. @throws PyroError */
  ask: (name: keyof Handlers, input: unknown, options?: AskOptions) => Promise<unknown>
  /** Calls that have not been answered yet. */
  inFlight: () => number
  /** Takes no more calls. Reads are told so at once, what changes something may end within `graceMs`. */
  close: (graceMs: number) => Promise<void>
}

const PREFIX = '/v1/'
const DOCUMENTS = new Set(['/openapi.json', '/v1/openapi.json'])

export function face({ version, ...answering }: Answering & { version: string }): Face {
  const operations: Record<string, Operation> = OPERATIONS
  const calls = new Set<Call>()
  let closing = false
  let document: string | undefined

  function route(request: IncomingMessage, response: ServerResponse, way: Way): void {
    response.setHeader('pyro-version', version)
    const path = (request.url ?? '').split('?', 1)[0]!
    if (DOCUMENTS.has(path) && request.method === 'GET') {
      document ??= JSON.stringify(openApi(version))
      response.writeHead(200, { 'content-type': 'application/json' }).end(document)
      return
    }
    const name = path.startsWith(PREFIX) ? path.slice(PREFIX.length) : ''
    const refused = Object.hasOwn(operations, name)
      ? refusal(operations[name]!, path, request.method, way)
      : unknown(path)
    if (refused !== undefined) refuse(request, response, refused)
    else start(name as keyof Handlers, readBody(request), replyTo(request, response))
  }

  function refusal(
    operation: Operation,
    path: string,
    method: string | undefined,
    way: Way,
  ): PyroError | undefined {
    if (method !== 'POST') return new PyroError('invalid_input', `${path} takes POST, not ${method}.`)
    if (operation.localOnly === true && way === 'network') return localOnly(operation)
    return closing ? stopping() : undefined
  }

  function start(name: keyof Handlers, input: Promise<unknown>, reply: Reply): void {
    const call = answerCall({ ...answering, name, input, reply })
    calls.add(call)
    void call.done.then(() => calls.delete(call))
  }

  function ask(
    name: keyof Handlers,
    input: unknown,
    { signal, onProgress }: AskOptions = {},
  ): Promise<unknown> {
    if (closing) return Promise.reject(stopping())
    const answer = Promise.withResolvers<unknown>()
    let leave: (() => void) | undefined
    start(name, Promise.resolve(input), {
      progress: (progress) => onProgress?.(progress),
      result: answer.resolve,
      error: answer.reject,
      gone(tell) {
        leave = tell
        if (signal?.aborted) tell()
        else signal?.addEventListener('abort', tell, { once: true })
      },
      last() {},
    })
    return answer.promise.finally(() => leave && signal?.removeEventListener('abort', leave))
  }

  async function close(graceMs: number): Promise<void> {
    closing = true
    const open = [...calls]
    for (const call of open) {
      call.last()
      // A read can be asked again of the next engine; what changes something should end.
      if (OPERATIONS[call.name].effects.readOnly) call.fail(stopping())
    }
    await bounded(Promise.all(open.map(({ answered }) => answered)), graceMs)
    for (const call of open) call.fail(stopping())
  }

  return { route, ask, inFlight: () => calls.size, close }
}

const unknown = (path: string) =>
  new PyroError('unknown_operation', `No operation is at ${path}.`, {
    hint: 'GET /openapi.json lists the operations.',
  })

const localOnly = ({ name, command }: Operation) =>
  new PyroError('local_only', `${name} is answered on the engine's own machine only.`, {
    hint: `There, without PYRO_URL: pyro ${command.join(' ')}.`,
  })

const stopping = () =>
  new PyroError('engine_stopping', 'The engine is stopping.', { hint: 'Ask again: the next call starts it.' })

export function bounded(work: Promise<unknown>, ms: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms)
    void work.then(() => {
      clearTimeout(timer)
      resolve()
    })
  })
}
