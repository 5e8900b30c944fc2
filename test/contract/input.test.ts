// Bad input, made from the schemas: whatever is wrong, the message names the field.
import { describe, expect, test } from 'vitest'
import type { z } from 'zod'
import { checkInput } from '../../src/contract/check.ts'
import { PyroError } from '../../src/contract/errors.ts'
import type { Operation } from '../../src/contract/operation.ts'
import { OPERATIONS, type OperationName } from '../../src/contract/table.ts'

/** A good value for each field that some operation requires. */
const GOOD: Record<string, unknown> = {
  environment: 'host',
  command: ['true'],
  workspace_id: 'name',
  job_id: 'job-1',
  path: 'file',
  output_path: '/tmp/file',
  seed_path: '/tmp',
}
/** Values that no field takes, by what is wrong with them. */
const WRONG = {
  'a date': new Date(0),
  'a list of nulls': [null],
  'a negative number': -1,
  null: null,
  true: true,
  nested: { a: { b: 1 } },
}

function refusal(name: OperationName, input: unknown): PyroError {
  try {
    checkInput(name, input)
  } catch (error) {
    if (error instanceof PyroError) return error
    throw error
  }
  throw new Error(`${name} took ${JSON.stringify(input)}`)
}

describe.each(Object.entries(OPERATIONS as Record<string, Operation>))('%s', (key, operation) => {
  const name = key as OperationName
  const shape = operation.input.shape as Record<string, z.ZodType>
  const required = Object.keys(shape).filter((field) => !shape[field]!.safeParse(undefined).success)
  const good = Object.fromEntries(required.map((field) => [field, GOOD[field]]))

  test('takes what it requires and nothing more', () => {
    expect(() => checkInput(name, good)).not.toThrow()
    const error = refusal(name, { ...good, no_such_field: 1 })
    expect(error.code).toBe('invalid_input')
    expect(error.message).toContain('"no_such_field"')
    for (const field of Object.keys(shape)) expect(error.message).toContain(field)
  })

  test.each(['text', 1, null, [], true].map((value) => [JSON.stringify(value), value]))(
    'is given %s',
    (_, value) => {
      expect(refusal(name, value).code).toBe('invalid_input')
    },
  )

  test.each(required)('lacks %s', (field) => {
    const { [field]: _missing, ...rest } = good
    expect(refusal(name, rest).message).toMatch(new RegExp(`^${field} is missing: it must be `))
  })

  test.each(Object.keys(shape))('has something wrong in %s', (field) => {
    for (const [what, value] of Object.entries(WRONG)) {
      if (shape[field]!.safeParse(value).success) continue
      const error = refusal(name, { ...good, [field]: value })
      expect(error.message, what).toMatch(new RegExp(`(^|in )${field}\\b`))
      expect(error.message.length, what).toBeLessThan(400)
    }
  })
})

test('a key of a map that is not allowed says which keys are', () => {
  const error = refusal('workspace_create', { environment: 'host', labels: { 'not a key': 'x' } })
  expect(error.message).toMatch(/^labels.*not a key.*letters, digits/)
})
test('a choice says what can be chosen', () => {
  const error = refusal('workspace_job_kill', { workspace_id: 'a', job_id: 'b', signal: 'SIGFOO' })
  expect(error.message).toMatch(/^signal: .*SIGINT/)
})
test('a number that is too large says how large it may be', () => {
  expect(refusal('workspace_exec', { workspace_id: 'a', command: 'x', wait_ms: 45_001 }).message).toMatch(
    /^wait_ms: .*45000/,
  )
})
test('a command that is neither says what it may be', () => {
  expect(refusal('workspace_exec', { workspace_id: 'a', command: 5 }).message).toBe(
    'command: must be a string or a list.',
  )
  expect(refusal('workspace_exec', { workspace_id: 'a', command: [] }).message).toMatch(/^command: /)
  expect(refusal('workspace_exec', { workspace_id: 'a', command: ['a\0b'] }).message).toMatch(
    /^command.0: .*NUL/,
  )
})
