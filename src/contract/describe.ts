/**
 * The table as plain data, for faces that should load neither a schema library nor the table: the command line, which
 * must start fast, gets it as JSON in the published package.
 */
import { z } from 'zod'
import type { Effects, Operation } from './operation.ts'
import { OPERATIONS, type OperationName } from './table.ts'

/** map: repeatable KEY=VALUE; list: repeatable; command: words, or one string for a shell. */
export type FieldKind = 'string' | 'integer' | 'number' | 'boolean' | 'map' | 'list' | 'command'

export interface FieldDescription {
  field: string
  kind: FieldKind
  /** On a command line: `--flag`, without the dashes. */
  flag: string
  required: boolean
  help: string
  choices?: string[]
  default?: unknown
}

export interface OperationDescription {
  name: OperationName
  /** Words of the command line. */
  command: string[]
  tool: string | null
  summary: string
  description: string
  effects: Effects
  positionals: FieldDescription[]
  /** What takes everything after `--`. */
  rest: FieldDescription | null
  flags: FieldDescription[]
  examples: string[]
}

interface Property {
  type?: string
  enum?: string[]
  default?: unknown
  description?: string
  anyOf?: Property[]
  additionalProperties?: unknown
}

export function describe(): OperationDescription[] {
  return Object.values(OPERATIONS as Record<string, Operation>).map(describeOperation)
}

function describeOperation(operation: Operation): OperationDescription {
  const { name, command, tool, summary, description, effects, cli } = operation
  const schema = z.toJSONSchema(operation.input, { io: 'input' }) as {
    properties: Record<string, Property>
    required?: string[]
  }
  const fields = Object.entries(schema.properties).map(([field, property]) => ({
    ...describeField(field, property),
    flag: cli.flags?.[field] ?? field.replaceAll('_', '-'),
    required: schema.required?.includes(field) === true,
  }))
  const positionals = cli.positionals ?? []
  const apart = new Set([
    ...positionals,
    ...(cli.hidden ?? []),
    ...(cli.rest === undefined ? [] : [cli.rest]),
  ])
  const named = (field: string) => fields.find((each) => each.field === field)!
  return {
    name: name as OperationName,
    command,
    tool,
    summary,
    description,
    effects,
    positionals: positionals.map(named),
    rest: cli.rest === undefined ? null : named(cli.rest),
    flags: fields.filter(({ field }) => !apart.has(field)),
    examples: cli.examples,
  }
}

function describeField(field: string, property: Property): Omit<FieldDescription, 'flag' | 'required'> {
  return {
    field,
    kind: kindOf(property),
    help: property.description ?? '',
    ...(property.enum === undefined ? {} : { choices: property.enum }),
    ...(property.default === undefined ? {} : { default: property.default }),
  }
}

function kindOf(property: Property): FieldKind {
  if (property.anyOf !== undefined) return 'command'
  if (property.type === 'object') return 'map'
  if (property.type === 'array') return 'list'
  const plain = ['integer', 'number', 'boolean'] as const
  return plain.find((kind) => kind === property.type) ?? 'string'
}
