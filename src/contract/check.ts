/** Checks what crosses a face against the contract, with one message that names the field and what is allowed. */
import type { z } from 'zod'
import { PyroError } from './errors.ts'
import { OPERATIONS, type OperationName } from './table.ts'

/** @throws invalid_input */
export function checkInput(name: OperationName, input: unknown): unknown {
  const schema: z.ZodObject = OPERATIONS[name].input
  const result = schema.safeParse(input)
  if (result.success) return result.data
  throw new PyroError('invalid_input', describeIssue(result.error.issues[0]!, Object.keys(schema.shape)))
}

/** @throws internal: a handler broke the contract */
export function checkOutput(name: OperationName, output: unknown): unknown {
  const result = OPERATIONS[name].output.safeParse(output)
  if (result.success) return result.data
  throw new PyroError(
    'internal',
    `${name} answered against its contract: ${describeIssue(result.error.issues[0]!, [])}`,
  )
}

type Issue = z.core.$ZodIssue

function describeIssue(issue: Issue, fields: string[]): string {
  const at = issue.path.map(String).join('.')
  if (issue.code === 'unrecognized_keys') {
    const unknown = issue.keys.map((key) => JSON.stringify(key)).join(', ')
    const allowed =
      at !== '' ? '' : fields.length === 0 ? ' It takes no fields.' : ` Allowed: ${fields.join(', ')}.`
    return `Unknown field ${unknown}${at === '' ? '' : ` in ${at}`}.${allowed}`
  }
  if (issue.code === 'invalid_union') {
    const missing = issue.errors.every((branch) => isMissing(branch[0]!))
    return missing ? isMissingText(at, anyOf(issue)) : inField(at, unionMessage(issue))
  }
  if (issue.code === 'invalid_key') return inField(at, issue.issues.map(({ message }) => message).join('; '))
  if (isMissing(issue)) return isMissingText(at, expectedOf(issue))
  return inField(at, issue.message)
}

const inField = (at: string, message: string) => `${at === '' ? 'The input' : at}: ${message}.`

/** Of a union, the branch whose type was meant; else what every branch wants. */
function unionMessage(issue: Extract<Issue, { code: 'invalid_union' }>): string {
  const meant = issue.errors.find((branch) =>
    branch.some((inner) => inner.code !== 'invalid_type' || inner.path.length > 0),
  )
  const first = meant?.[0]
  if (first !== undefined)
    return first.path.length > 0 ? `${first.path.join('.')}: ${first.message}` : first.message
  return `must be ${anyOf(issue)}`
}

const anyOf = (issue: Extract<Issue, { code: 'invalid_union' }>) =>
  issue.errors.map((branch) => expectedOf(branch[0]!)).join(' or ')
const isMissingText = (at: string, expected: string) =>
  `${at || 'The input'} is missing: it must be ${expected}.`

function isMissing(issue: Issue): boolean {
  return issue.code === 'invalid_type' && issue.message.endsWith('received undefined')
}

function expectedOf(issue: Issue): string {
  const expected = 'expected' in issue ? String(issue.expected) : 'valid'
  return expected === 'array'
    ? 'a list'
    : expected === 'int'
      ? 'a whole number'
      : /^[aeiou]/.test(expected)
        ? `an ${expected}`
        : `a ${expected}`
}
