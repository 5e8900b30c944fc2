// Fields of a JSON schema as rows of a table.

export interface Property {
  type?: string | string[]
  enum?: unknown[]
  const?: unknown
  default?: unknown
  description?: string
  anyOf?: Property[]
  items?: Property
  properties?: Record<string, Property>
  additionalProperties?: Property | boolean
  required?: string[]
  minimum?: number
  maximum?: number
  exclusiveMinimum?: number
}

const UNBOUNDED = Number.MAX_SAFE_INTEGER

/** With `flags` the rows have a column for the command line. */
export function fieldRows(schema: Property, flags?: Map<string, string>): string[] {
  const required = new Set(schema.required ?? [])
  return Object.entries(schema.properties ?? {}).map(([field, property]) => {
    const cli = flags === undefined ? '' : ` ${flags.get(field) ?? ''} |`
    const needed = flags !== undefined && required.has(field) ? ' **required**' : ''
    return `| \`${field}\`${needed} | ${cell(typeOf(property))} |${cli} ${cell(noteOf(property))} |`
  })
}

function typeOf(property: Property): string {
  const { anyOf, enum: choices, type, items, properties, additionalProperties } = property
  if (anyOf !== undefined) return [...new Set(anyOf.map(typeOf))].join(' or ')
  if (choices !== undefined) return choices.map((choice) => `\`${choice}\``).join(', ')
  if (type === 'array') return `list of ${items === undefined ? 'anything' : typeOf(items)}`
  if (properties !== undefined)
    return `{${Object.entries(properties)
      .map(([name, inner]) => `${name}: ${typeOf(inner)}`)
      .join(', ')}}`
  if (additionalProperties !== undefined) return 'map of strings'
  return [type ?? 'anything'].flat().join(' or ')
}

function noteOf(property: Property): string {
  const { description, default: value, minimum, maximum, exclusiveMinimum } = property
  const least =
    exclusiveMinimum !== undefined
      ? `more than ${exclusiveMinimum}`
      : minimum !== undefined && minimum > -UNBOUNDED
        ? `${minimum}`
        : ''
  const most = maximum !== undefined && maximum < UNBOUNDED ? `${maximum}` : ''
  const range = most === '' ? '' : `${least || '…'} to ${most}.`
  const plain = value !== undefined && typeof value !== 'object'
  return [description ?? '', range, plain ? `Default: ${cellCode(String(value))}.` : '']
    .filter((part) => part !== '')
    .join(' ')
}

const cellCode = (text: string) => (text === '' ? 'empty' : `\`${text}\``)
const cell = (text: string) => text.replaceAll('|', '\\|').replaceAll('\n', ' ')
