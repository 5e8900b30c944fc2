/** One call, from its input to its answer, whoever asks. */
import { PyroError, toPyroError } from '../../contract/errors.ts'
import { checkInput, checkOutput } from '../../contract/check.ts'
import type { CallContext, Handlers } from '../../contract/table.ts'
import type { Reply } from './reply.ts'

export interface Call {
  name: keyof Handlers
  /** Resolves when the answer was given, whatever it was. */
  answered: Promise<void>
  /** Resolves when the handler has ended too. */
  done: Promise<void>
  /** Answers with this error in place of what the handler would say, and aborts it. */
  fail: (error: PyroError) => void
  /** No further call shall come over its connection. */
  last: () => void
}

export interface Answering {
  handlers: Handlers
  checkOutput: boolean
  log: (event: string, fields?: Record<string, unknown>) => void
}
interface CallOptions extends Answering {
  name: keyof Handlers
  input: Promise<unknown>
  reply: Reply
}

type AnyHandler = (input: unknown, context: CallContext) => Promise<unknown>

export function answerCall({ name, handlers, input, reply, log, ...options }: CallOptions): Call {
  const abort = new AbortController()
  const failed = Promise.withResolvers<never>()
  failed.promise.catch(() => {})
  const fail = (error: PyroError) => {
    failed.reject(error)
    abort.abort(error)
  }
  reply.gone(() => fail(new PyroError('cancelled', 'The caller went away.')))

  async function work(): Promise<unknown> {
    const checked = checkInput(name, await input)
    const output = await (handlers[name] as AnyHandler)(checked, {
      signal: abort.signal,
      progress: reply.progress,
    })
    return options.checkOutput ? checkOutput(name, output) : output
  }

  const working = work()
  const answered = (async () => {
    try {
      reply.result(await Promise.race([working, failed.promise]))
    } catch (thrown) {
      const error = toPyroError(thrown)
      if (error.code === 'internal') log('call.failed', { operation: name, error: stackOf(error) })
      reply.error(error)
    }
  })()
  const done = Promise.allSettled([answered, working]).then(() => {})
  return { name, answered, done, fail, last: reply.last }
}

function stackOf(error: PyroError): string {
  const cause = error.cause
  return (cause instanceof Error ? cause.stack : undefined) ?? error.stack ?? error.message
}
