// The SDK's plain data against the contract it stands for, and what every operation must keep to.
import { expect, test } from 'vitest'
import { z } from 'zod'
import { describe as descriptions } from '../../src/contract/describe.ts'
import { ERRORS } from '../../src/contract/errors.ts'
import type { Operation } from '../../src/contract/operation.ts'
import { OPERATIONS } from '../../src/contract/table.ts'
import {
  HOST_PATHS,
  MAPS,
  METHODS,
  READ_ONLY,
  camelKeys,
  snakeKeys,
  toCamel,
  toSnake,
} from '../../src/surface/sdk/names.ts'

const operations = Object.entries(OPERATIONS as Record<string, Operation>)

interface Property {
  type?: string
  properties?: Record<string, Property>
  additionalProperties?: unknown
  items?: Property
  anyOf?: Property[]
}
/** Every field below a schema, with its name. */
function fieldsOf(property: Property): [string, Property][] {
  const own = Object.entries(property.properties ?? {})
  const inner = [
    ...own.map(([, field]) => field),
    ...(property.anyOf ?? []),
    ...(property.items ? [property.items] : []),
  ]
  return [...own, ...inner.flatMap(fieldsOf)]
}
const all = operations.flatMap(([, { input, output }]) => [
  ...fieldsOf(z.toJSONSchema(input, { io: 'input' }) as Property),
  ...fieldsOf(z.toJSONSchema(output, { io: 'output' }) as Property),
])

test('every operation is in the table under its own name, and its faces have names of their own', () => {
  for (const [name, operation] of operations) expect(operation.name).toBe(name)
  for (const pick of [
    (o: Operation) => o.command.join(' '),
    (o: Operation) => o.sdk,
    (o: Operation) => o.tool ?? o.name,
  ]) {
    const names = operations.map(([, operation]) => pick(operation))
    expect(new Set(names).size).toBe(names.length)
  }
})

test('the methods of the SDK are those of the contract', () => {
  expect(METHODS).toEqual(Object.fromEntries(operations.map(([name, { sdk }]) => [sdk, name])))
})

test('what the SDK asks again only reads', () => {
  expect([...READ_ONLY].sort()).toEqual(
    operations
      .filter(([, { effects }]) => effects.readOnly)
      .map(([name]) => name)
      .sort(),
  )
})

test('fields that hold keys of the caller are known to the conversion, and no others', () => {
  const maps = all.filter(
    ([, { additionalProperties, properties }]) =>
      typeof additionalProperties === 'object' && properties === undefined,
  )
  expect(new Set(maps.map(([name]) => name))).toEqual(MAPS)
  for (const [name, property] of all) if (MAPS.has(name)) expect(property.type, name).toBe('object')
})

test('the names of all fields survive the way to camelCase and back', () => {
  for (const [name] of all) expect(toSnake(toCamel(name))).toBe(name)
  const value = { labels: { a_b: 'x', cD: 'y' }, list: [{ some_field: { inner_field: 1 } }], none: null }
  expect(camelKeys(value)).toEqual({
    labels: value.labels,
    list: [{ someField: { innerField: 1 } }],
    none: null,
  })
  expect(snakeKeys(camelKeys(value))).toEqual(value)
})

test('paths of this machine are known to the client', () => {
  const absolute = (schema: z.ZodType) =>
    schema.safeParse('relative').error?.issues[0]?.message === 'must be an absolute path'
  const found = operations.flatMap(([, { input }]) =>
    Object.entries(input.shape as Record<string, z.ZodType>)
      .filter(([name, schema]) => name !== 'cwd' && absolute(schema))
      .map(([name]) => name),
  )
  expect([...new Set(found)].sort()).toEqual([...HOST_PATHS].sort())
})

test('every field of an input has one place on the command line or is hidden', () => {
  for (const operation of descriptions()) {
    const flags = operation.flags.map(({ flag }) => flag)
    expect(new Set(flags).size, operation.name).toBe(flags.length)
    for (const special of ['json', 'help', 'shell', 'stdin', 'id-only'])
      expect(flags, operation.name).not.toContain(special)
    for (const example of operation.examples)
      expect(example.startsWith(operation.command.join(' ')), example).toBe(true)
  }
})

test('every error an operation names has its statuses, and says something', () => {
  for (const [name, { errors }] of operations)
    for (const code of errors) expect(ERRORS[code], `${name}: ${code}`).toBeDefined()
  for (const { meaning, exit } of Object.values(ERRORS)) {
    expect(meaning).toMatch(/\.$/)
    expect(exit).toBeGreaterThan(1)
  }
})
