/** The HTTP face as an OpenAPI 3.1 document, made from the table of operations. */
import { z } from 'zod'
import { ERRORS, type ErrorCode } from '../../contract/errors.ts'
import type { Operation } from '../../contract/operation.ts'
import { OPERATIONS } from '../../contract/table.ts'

/** Codes that any operation can give. */
export const COMMON_ERRORS: ErrorCode[] = [
  'invalid_input',
  'engine_stopping',
  'cancelled',
  'io_error',
  'internal',
]

/** And what any can give to a caller who came by an address. */
export const NETWORK_ERRORS: ErrorCode[] = ['unauthorized', 'forbidden', 'too_many_connections']

export function jsonSchema(schema: z.ZodType, io: 'input' | 'output'): Record<string, unknown> {
  const { $schema: _dialect, ...rest } = z.toJSONSchema(schema, { io, target: 'draft-2020-12' }) as Record<
    string,
    unknown
  >
  return rest
}

export function openApi(version: string): Record<string, unknown> {
  const operations: Operation[] = Object.values(OPERATIONS)
  return {
    openapi: '3.1.0',
    info: {
      title: 'Pyro',
      version,
      description:
        'Spoken over the unix socket of the engine, which asks for no token, and over the address of pyro daemon listen, ' +
        'which does. With "accept: application/x-ndjson" the answer is lines: any number of ' +
        '{"progress": …}, then one {"result": …} or {"error": …}. Closing the connection cancels the call.',
    },
    servers: [
      { url: '/', description: 'Where this document was served.' },
      { url: 'http://pyro', description: 'The socket that `pyro daemon status` names.' },
    ],
    security: [{ token: [] }],
    paths: Object.fromEntries(
      operations.map((operation) => [`/v1/${operation.name}`, { post: pathItem(operation) }]),
    ),
    components: {
      schemas: { Error: errorSchema(), Progress: PROGRESS },
      securitySchemes: {
        token: { type: 'http', scheme: 'bearer', description: 'What `pyro daemon token` prints.' },
      },
    },
  }
}

function pathItem({
  name,
  summary,
  description,
  input,
  output,
  errors,
  effects,
}: Operation): Record<string, unknown> {
  const result = jsonSchema(output, 'output')
  return {
    operationId: name,
    summary,
    description,
    'x-effects': effects,
    requestBody: { required: true, content: { 'application/json': { schema: jsonSchema(input, 'input') } } },
    responses: {
      200: {
        description: 'The result.',
        content: {
          'application/json': { schema: result },
          'application/x-ndjson': {
            schema: {
              oneOf: [
                oneField('progress', { $ref: '#/components/schemas/Progress' }),
                oneField('result', result),
                oneField('error', { $ref: '#/components/schemas/Error/properties/error' }),
              ],
            },
          },
        },
      },
      ...errorResponses([...COMMON_ERRORS, ...NETWORK_ERRORS, ...errors]),
    },
  }
}

const oneField = (name: string, schema: unknown) => ({
  type: 'object',
  required: [name],
  properties: { [name]: schema },
  additionalProperties: false,
})

function errorResponses(codes: ErrorCode[]): Record<string, unknown> {
  const byStatus = Map.groupBy([...new Set(codes)], (code) => ERRORS[code].http)
  return Object.fromEntries(
    [...byStatus].map(([status, group]) => [
      status,
      {
        description: group.join(', '),
        content: { 'application/json': { schema: { $ref: '#/components/schemas/Error' } } },
      },
    ]),
  )
}

const errorSchema = () =>
  oneField('error', {
    type: 'object',
    required: ['code', 'message', 'retryable'],
    properties: {
      code: { type: 'string', enum: Object.keys(ERRORS) },
      message: { type: 'string' },
      hint: { type: 'string', description: 'What to do next, where something can be done.' },
      retryable: { type: 'boolean', description: 'Whether the same call may succeed when it is made again.' },
    },
    additionalProperties: false,
  })

const kind = (name: string, properties: Record<string, unknown>, required: string[]) => ({
  type: 'object',
  properties: { kind: { const: name }, ...properties },
  required: ['kind', ...required],
})
const text = { type: 'string' }
const PROGRESS = {
  oneOf: [
    kind('step', { text }, ['text']),
    kind(
      'count',
      {
        text,
        done: { type: 'number' },
        total: { type: 'number' },
        unit: { enum: ['bytes', 'packages'], description: 'What is counted; files where it is absent.' },
      },
      ['text', 'done'],
    ),
    kind('output', { stream: { enum: ['stdout', 'stderr'] }, text }, ['stream', 'text']),
  ],
}
