/** Calls to an engine in the contract's own names. This machine's is started when it is not there. */
import { resolve } from 'node:path'
import { PyroError } from '../../contract/errors.ts'
import type { InputOf, OperationName, OutputOf } from '../../contract/table.ts'
import { type Paths, resolvePaths } from '../../wiring/paths.ts'
import { requirePrivate } from '../../wiring/private.ts'
import { whole } from './answer.ts'
import { type EndpointOptions, remoteOf } from './endpoint.ts'
import { askOnce } from './once.ts'
import { isPath } from '../../contract/address.ts'
import { HOST_PATHS, READ_ONLY } from './names.ts'
import { remoteCalls } from './remote.ts'
import { SILENCE_MS, cancelled, sender } from './send.ts'
import { connects, ended, startEngine } from './start.ts'
import type { CallOptions } from './types.ts'

export interface ClientOptions extends EndpointOptions {
  /** Start the engine when it is not there. Default: true. */
  autostart?: boolean | undefined
  /** One call is all there will be: it needs no connection that is kept. Default: false. */
  once?: boolean | undefined
}
export interface Client {
  /** Of this machine's engine. */
  paths: Paths
  /** Another engine is asked: nothing that it names lies on this machine. */
  remote: boolean
  call: <N extends OperationName>(name: N, input: InputOf<N>, options?: CallOptions) => Promise<OutputOf<N>>
  /** Resolves when an engine takes connections. */
  ready: (signal?: AbortSignal) => Promise<void>
  close: () => void
}

const RETRIES = 20
const RETRY_MS = 100

/** @throws invalid_input, home_unsuitable */
export function client(options: ClientOptions = {}): Client {
  const remote = remoteOf(options, process.env)
  if (remote === null) return localClient(options)
  const { call, close } = remoteCalls(remote)
  return {
    paths: resolvePaths(),
    remote: true,
    call: call as Client['call'],
    ready: async (signal) => void (await call('daemon_status', {}, { signal })),
    close,
  }
}

function localClient({ home, autostart = true, once = false }: ClientOptions): Client {
  const env = home === undefined ? process.env : { ...process.env, PYRO_HOME: resolve(home) }
  const paths = resolvePaths(env)
  requirePrivate(paths.runtimeDir)
  const kept = sender({
    to: { socketPath: paths.socket },
    lost: (error, reused) => lost(reused, error, paths),
  })

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

  function send(name: string, body: string, options: CallOptions): Promise<unknown> {
    if (once && !options.onProgress) return sendOnce(name, body, options.signal)
    return kept.send(name, body, options)
  }

  return {
    paths,
    remote: false,
    call: call as Client['call'],
    async ready(signal) {
      if (await connects(paths.socket)) return
      if (!autostart) throw new NotThere(paths)
      await startEngine({ paths, env, signal })
    },
    close: kept.close,
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
