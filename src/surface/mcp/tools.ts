/** The operations that agents use, as tools. */
import { z } from 'zod'
import type { Operation } from '../../contract/operation.ts'
import { OPERATIONS } from '../../contract/table.ts'

export interface Tool {
  name: string
  operation: Operation
  inputSchema: Record<string, unknown>
  outputSchema: Record<string, unknown>
  /** Given where the caller says nothing. */
  defaults: Record<string, unknown>
}

/** Hosts cut off long answers; a tool asks for less, and says how to go on. */
const SHORTER: Record<string, number> = { max_output_bytes: 16_384, max_bytes: 16_384 }
/** For a program that follows the output; a tool's caller comes back when it pleases, and must not hold a command up. */
const NOT_FOR_TOOLS = ['attach']

export const TOOLS: Tool[] = Object.values(OPERATIONS as Record<string, Operation>)
  .filter(({ tool }) => tool !== null)
  .map((operation) => {
    const inputSchema = schemaOf(operation.input, 'input')
    const properties = { ...(inputSchema['properties'] as Record<string, Record<string, unknown>>) }
    for (const field of NOT_FOR_TOOLS) delete properties[field]
    const defaults: Record<string, unknown> = {}
    for (const [field, value] of Object.entries(SHORTER)) {
      if (properties[field] === undefined) continue
      properties[field] = { ...properties[field], default: value }
      defaults[field] = value
    }
    const outputSchema = schemaOf(operation.output, 'output')
    return {
      name: operation.tool!,
      operation,
      inputSchema: { ...inputSchema, properties },
      outputSchema,
      defaults,
    }
  })

function schemaOf(schema: z.ZodType, io: 'input' | 'output'): Record<string, unknown> {
  return z.toJSONSchema(schema, { io, target: 'draft-2020-12' }) as Record<string, unknown>
}
