/** Calls to the engine over its unix socket, in the contract's own names; starts the engine when it is not there. */
import type { Agent, IncomingMessage } from 'node:http'
import { resolve } from 'node:path'
import { PyroError } from '../../contract/errors.ts'
import type { InputOf, OperationName, OutputOf } from '../../contract/table.ts'
import { type Paths, resolvePaths } from '../../wiring/paths.ts'
import { requirePrivate } from '../../wiring/private.ts'
import { readAnswer, whole } from './answer.ts'
import { askOnce } from './once.ts'
import { isPath } from '../../contract/address.ts'
import { HOST_PATHS, READ_ONLY } from './names.ts'
import { connects, ended, startEngine } from './start.ts'
import type { CallOptions } from './types.ts'

// Loaded this way because importing it as a module evaluates all of its lazy parts, which costs more than Node's start.
const http = () => process.getBuiltinModule('node:http')

export interface ClientOptions {
  /** State directory; default: PYRO_HOME, or the XDG state directory. */
  home?: string | undefined
  /** Start the engine when it is not there. Default: true. */
  autostart?: boolean | undefined
  /** One call is all there will be: it needs no connection that is kept. Default: false. */
  once?: boolean | undefined
}
export interface Client {
  paths: Paths
  call: <N extends OperationName>(name: N, input: InputOf<N>, options?: CallOptions) => Promise<OutputOf<N>>
  /** Resolves when an engine takes connections. */
  ready: (signal?: AbortSignal) => Promise<void>
  close: () => void
}

/** Idle connections end before the engine would end them. */
const IDLE_MS = 5 * 60_000
/** No operation is silent for so long. */
const SILENCE_MS = 15 * 60_000
const RETRIES = 20
const RETRY_MS = 100

export function client({ home, autostart = true, once = false }: ClientOptions = {}): Client {
  const env = home === undefined ? process.env : { ...process.env, PYRO_HOME: resolve(home) }
  const paths = resolvePaths(env)
  requirePrivate(paths.runtimeDir)
  let agent: Agent | undefined

  async function call(name: OperationName, input: unknown, options: CallOptions = {}): Promise<unknown> {
    if (name !== 'daemon_stop') return await ask(name, input, options)
    const { pid } = (await ask('daemon_status', {}, options)) as OutputOf<'daemon_status'>
    const output = await ask(name, input, options)
    if (pid !== null) await ended(pid)
    return output
  }

  async function ask(name: OperationName, input: unknown, options: CallOptions): Promise<unknown> {
    const body = JSON.stringify(absolutePaths(input as Record<string, unknown>))
    for (let tries = 0; ; tries++) {
      if (options.signal?.aborted) throw cancelled(options.signal)
      try {
        return await send(name, body, options)
      } catch (error) {
        if (!(await mayRetry(error, name, tries, options.signal))) throw error
      }
    }
  }

  /** Whether asking again is right: the call never arrived, or it only reads and the engine that had it is gone. */
  async function mayRetry(
    error: unknown,
    name: OperationName,
    tries: number,
    signal?: AbortSignal,
  ): Promise<boolean> {
    if (!autostart || tries >= RETRIES || !(error instanceof PyroError)) return false
    if (error instanceof NotThere) {
      await startEngine({ paths, env, signal })
      return true
    }
    const gone = error.code === 'engine_stopping' || error.code === 'engine_unreachable'
    if (!gone || !READ_ONLY.has(name)) return false
    await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
    return true
  }

  async function sendOnce(name: string, body: string, signal?: AbortSignal): Promise<unknown> {
    const request = { socketPath: paths.socket, path: `/v1/${name}`, body, signal, silenceMs: SILENCE_MS }
    const answer = await askOnce(request).catch((error: Error) => {
      throw signal?.aborted ? cancelled(signal) : lost(false, error, paths)
    })
    return whole(answer.body, answer.status, answer.headers['pyro-version'] ?? '')
  }

  function send(name: string, body: string, { signal, onProgress }: CallOptions): Promise<unknown> {
    if (once && !onProgress) return sendOnce(name, body, signal)
    agent ??= new (http().Agent)({ keepAlive: true, maxFreeSockets: 16, timeout: IDLE_MS })
    const answer = Promise.withResolvers<unknown>()
    const headers = {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(body),
      ...(onProgress ? { accept: 'application/x-ndjson' } : {}),
    }
    const request = http().request({
      agent,
      socketPath: paths.socket,
      path: `/v1/${name}`,
      method: 'POST',
      headers,
    })
    const abort = () => request.destroy(cancelled(signal))
    signal?.addEventListener('abort', abort, { once: true })
    request.setTimeout(SILENCE_MS, () => request.destroy(new Error('no answer')))
    request.on('error', (error) => answer.reject(lost(request.reusedSocket, error, paths)))
    request.on('response', (response: IncomingMessage) => {
      readAnswer(response, onProgress).then(answer.resolve, (error) =>
        answer.reject(lost(request.reusedSocket, error, paths)),
      )
    })
    request.end(body)
    return answer.promise.finally(() => signal?.removeEventListener('abort', abort))
  }

  return {
    paths,
    call: call as Client['call'],
    async ready(signal) {
      if (await connects(paths.socket)) return
      if (!autostart) throw new NotThere(paths)
      await startEngine({ paths, env, signal })
    },
    close: () => agent?.destroy(),
  }
}

/** The engine was not there, so the call cannot have had an effect. */
class NotThere extends PyroError {
  constructor(paths: Paths, cause?: unknown) {
    const hint = `Start it with any other pyro command; its socket would be ${paths.socket}.`
    super('engine_unreachable', `No engine runs for ${paths.home}.`, { hint, cause })
  }
}

function lost(reused: boolean, error: Error, paths: Paths): PyroError {
  if (error instanceof PyroError) return error
  const code = (error as NodeJS.ErrnoException).code
  const connecting = (error as NodeJS.ErrnoException).syscall === 'connect' && !reused
  if (connecting && (code === 'ENOENT' || code === 'ECONNREFUSED')) return new NotThere(paths, error)
  const hint = `See ${paths.log}.`
  return new PyroError('engine_unreachable', `The engine did not answer: ${error.message}.`, {
    hint,
    cause: error,
  })
}

const cancelled = (signal?: AbortSignal) =>
  new PyroError('cancelled', 'The call was cancelled.', { cause: signal?.reason })

function absolutePaths(input: Record<string, unknown>): Record<string, unknown> {
  let absolute = input
  for (const field of HOST_PATHS) {
    const path = input[field]
    if (typeof path === 'string' && path !== '' && !path.startsWith('/'))
      absolute = { ...absolute, [field]: resolve(path) }
  }
  const { repo } = input
  if (typeof repo === 'string' && isPath(repo)) absolute = { ...absolute, repo: resolve(repo) }
  return absolute
}
