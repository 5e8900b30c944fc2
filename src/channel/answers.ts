/** What the agent's answers are held to before anybody believes them. */
import type { z } from 'zod'
import { type ErrorCode, isErrorCode, PyroError } from '../contract/errors.ts'
import { refusal } from './messages.ts'
import type { WireAnswer } from './wire.ts'

export function checked<T extends z.ZodType>(schema: T, body: Buffer): z.output<T> {
  let value: unknown
  try {
    value = JSON.parse(body.toString())
  } catch {
    throw lied('its answer is not JSON')
  }
  const result = schema.safeParse(value)
  if (!result.success) throw lied('its answer has another form than the protocol')
  return result.data
}

export function header(answer: WireAnswer, name: string): number {
  const value = Number(answer.headers[name])
  if (!Number.isSafeInteger(value) || value < 0) throw lied(`its header ${name} is not an offset`)
  return value
}

export const refused = (answer: WireAnswer): PyroError =>
  refusedBy(answer.body.toString(), `it answered ${answer.status} without a reason`)

/** The guest's own reason for not completing a body. */
export const brokenOff = (said: string): PyroError => refusedBy(said, 'it broke off without a reason')

function refusedBy(text: string, unreadable: string): PyroError {
  let parsed: ReturnType<typeof refusal.safeParse> | undefined
  try {
    parsed = refusal.safeParse(JSON.parse(text))
  } catch {
    parsed = undefined
  }
  if (!parsed?.success) return lied(unreadable)
  const { code, message } = parsed.data
  return new GuestRefusal(isErrorCode(code) ? code : (SAID.get(code) ?? 'guest_unreachable'), message, code)
}

/** What the agent calls differently than the contract does. */
const SAID = new Map<string, ErrorCode>([
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
