/** The part of JSON Schema that API descriptions use here; a field that is not described is refused, as a strict server does. */
export interface Schema {
  type?: string
  $ref?: string
  required?: string[]
  properties?: Record<string, Schema>
  items?: Schema
  enum?: unknown[]
  minimum?: number
  maximum?: number
  additionalProperties?: boolean
}

/** What is wrong with a value, one line each; empty when it is right. */
export function violations(
  value: unknown,
  schema: Schema,
  definitions: Record<string, Schema>,
  at = 'body',
): string[] {
  if (schema.$ref) {
    const target = definitions[schema.$ref.replace('#/definitions/', '')]
    return target ? violations(value, target, definitions, at) : [`${at}: ${schema.$ref} is not defined`]
  }
  if (typeOf(value) !== (schema.type ?? 'object')) return [`${at}: ${typeOf(value)}, not ${schema.type}`]
  if (schema.enum && !schema.enum.includes(value)) return [`${at}: ${value} is none of ${schema.enum}`]
  if (typeof value === 'number') {
    const { minimum = -Infinity, maximum = Infinity } = schema
    return value < minimum || value > maximum ? [`${at}: ${value} is out of range`] : []
  }
  if (Array.isArray(value))
    return value.flatMap((item, index) =>
      violations(item, schema.items ?? {}, definitions, `${at}[${index}]`),
    )
  if (typeof value !== 'object' || value === null) return []
  const missing = (schema.required ?? []).filter((name) => !Object.hasOwn(value, name))
  return [
    ...missing.map((name) => `${at}.${name} is missing`),
    ...Object.entries(value).flatMap(([name, field]) => {
      const described = schema.properties?.[name]
      if (described) return violations(field, described, definitions, `${at}.${name}`)
      return schema.additionalProperties ? [] : [`${at}.${name} is unknown`]
    }),
  ]
}

function typeOf(value: unknown): string {
  if (Array.isArray(value)) return 'array'
  if (value === null) return 'null'
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number'
  return typeof value
}
