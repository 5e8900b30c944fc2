/** What the agent's answers are held to before anybody believes them. */
import type { z } from 'zod'
import { type ErrorCode, PyroError } from '../contract/errors.ts'
import { plain } from '../contract/plain.ts'
import { parseSparse } from './json.ts'
import { refusal } from './messages.ts'
import type { WireAnswer } from './wire.ts'

export function checked<T extends z.ZodType>(schema: T, body: Buffer): z.output<T> {
  let value: unknown
  try {
    value = parseSparse(body)
  } catch {
    throw lied('its answer is not JSON')
  }
  const result = schema.safeParse(value)
  if (!result.success) throw lied('its answer has another form than the protocol')
  return result.data
}

export function header(answer: WireAnswer, name: string): number {
  const text = answer.headers[name]
  const value = typeof text === 'string' && /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN
  if (!Number.isSafeInteger(value)) throw lied(`its header ${name} is not an offset`)
  return value
}

export const refused = (answer: WireAnswer): PyroError =>
  refusedBy(answer.body, `it answered ${answer.status} without a reason`)

/** The guest's own reason for not completing a body. */
export const brokenOff = (said: string): PyroError =>
  refusedBy(Buffer.from(said), 'it broke off without a reason')

function refusedBy(body: Buffer, unreadable: string): PyroError {
  let parsed: ReturnType<typeof refusal.safeParse> | undefined
  try {
    parsed = refusal.safeParse(parseSparse(body))
  } catch {
    parsed = undefined
  }
  if (!parsed?.success) return lied(unreadable)
  const { code, message } = parsed.data
  return new GuestRefusal(SAYS.get(code) ?? 'guest_unreachable', plain(message), plain(code))
}

/** What an agent may say of itself. What the engine, its files or its disk are like is not for a guest to tell. */
const SAME: ErrorCode[] = [
  'bad_cursor',
  'cwd_not_found',
  'disk_full',
  'export_changed',
  'io_error',
  'job_not_found',
  'job_running',
  'layer_changed',
  'layer_invalid',
  'layer_too_large',
  'link_leaves',
  'not_exportable',
  'not_supported',
  'path_not_found',
  'stdin_closed',
  'too_many_jobs',
  'user_not_found',
  'wrong_state',
]
const SAYS = new Map<string, ErrorCode>([
  ...SAME.map((code): [string, ErrorCode] => [code, code]),
  ['bad_request', 'invalid_input'],
  ['too_large', 'invalid_input'],
  ['job_exited', 'job_ended'],
])

/** The agent answered, and the answer is no: what was asked for has not happened. */
export class GuestRefusal extends PyroError {
  /** The agent's own word for it. */
  readonly reason: string

  constructor(code: ErrorCode, message: string, reason: string) {
    super(code, message)
    this.reason = reason
  }
}

export function lied(how: string): PyroError {
  return new PyroError('guest_unreachable', `The agent inside the sandbox is not to be believed: ${how}.`)
}
