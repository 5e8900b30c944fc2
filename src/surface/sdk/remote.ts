/** Calls to an engine that listens on an address. It cannot be started from here, only waited for when it comes again. */
import { PyroError } from '../../contract/errors.ts'
import type { OperationName } from '../../contract/table.ts'
import type { Remote } from './endpoint.ts'
import { HOST_PATHS, READ_ONLY } from './names.ts'
import { type Sender, cancelled, sender } from './send.ts'
import type { CallOptions } from './types.ts'

/** How long an engine that was there before may be away: one that restarts is back sooner, also on a busy machine. */
const AWAY_MS = 30_000
const RETRY_MS = 100

export interface RemoteCalls {
  call: (name: OperationName, input: unknown, options?: CallOptions) => Promise<unknown>
  close: () => void
}

export function remoteCalls({ url, token }: Remote): RemoteCalls {
  const { protocol, hostname, port, pathname } = new URL(url)
  const calls: Sender = sender({
    secure: protocol === 'https:',
    to: {
      hostname: hostname.replace(/^\[|\]$/g, ''),
      port,
      headers: { authorization: `Bearer ${token}` },
    },
    prefix: pathname.replace(/\/+$/, ''),
    lost: (error, reused) => lost(error, reused, url),
  })
  let known = false

  async function call(name: OperationName, input: unknown, options: CallOptions = {}): Promise<unknown> {
    const body = JSON.stringify(checkPaths(input as Record<string, unknown>))
    let deadline: number | undefined
    for (;;) {
      if (options.signal?.aborted) throw cancelled(options.signal)
      try {
        const output = await calls.send(name, body, options)
        known = true
        return output
      } catch (error) {
        if (!known || !mayRetry(error, name)) throw error
        deadline ??= performance.now() + AWAY_MS
        if (performance.now() > deadline) throw error
      }
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS))
    }
  }

  return { call, close: calls.close }
}

/** Whether asking again is right: the call never arrived, or it only reads and the engine that had it is gone. */
function mayRetry(error: unknown, name: OperationName): boolean {
  if (error instanceof NotThere) return true
  if (!(error instanceof PyroError)) return false
  return READ_ONLY.has(name) && (error.code === 'engine_stopping' || error.code === 'engine_unreachable')
}

/** There was no connection, so the call cannot have had an effect. */
class NotThere extends PyroError {
  constructor(url: string, cause: Error) {
    super('engine_unreachable', `No engine answers at ${url}: ${cause.message}.`, {
      hint: 'On its machine pyro daemon status says whether it listens, and pyro daemon listen makes it; look at the tunnel too.',
      cause,
    })
  }
}

function lost(error: Error, reused: boolean, url: string): PyroError {
  // A name with several addresses fails with an error for each.
  const first = ((error as AggregateError).errors?.[0] ?? error) as NodeJS.ErrnoException
  if (!reused && (first.syscall === 'connect' || first.syscall === 'getaddrinfo'))
    return new NotThere(url, first)
  return new PyroError('engine_unreachable', `The engine at ${url} did not answer: ${error.message}.`, {
    hint: 'What was asked may have been done: look before you ask again.',
    cause: error,
  })
}

/** A relative path would be meant from a folder of this machine, where the engine's files are not. */
function checkPaths(input: Record<string, unknown>): Record<string, unknown> {
  for (const field of HOST_PATHS) {
    const path = input[field]
    if (typeof path !== 'string' || path.startsWith('/')) continue
    throw new PyroError(
      'invalid_input',
      `${field}: ${JSON.stringify(path)} must be absolute: it is a path of the machine of the engine, not of this one.`,
      { hint: 'Give the path as it is there, or ask the engine of this machine without PYRO_URL.' },
    )
  }
  return input
}
