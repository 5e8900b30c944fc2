// Writes src/backend/firecracker/api.gen.ts (types of the requests) and test/backend/firecracker/api.gen.json (the whole
// API as JSON schemas) from Firecracker's OpenAPI file, which is not part of this repository.
//   scripts/node scripts/firecracker-types.ts [--check] [FILE]
// FILE defaults to the one beside the checkout; where it is not there, --check has nothing to compare with and passes.
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { parse } from 'yaml'

interface Schema {
  type?: 'object' | 'array' | 'string' | 'integer' | 'boolean'
  $ref?: string
  required?: string[]
  properties?: Record<string, Schema>
  items?: Schema
  enum?: string[]
  minimum?: number
  maximum?: number
  additionalProperties?: boolean
}
interface Parameter {
  in: 'body' | 'path'
  schema?: Schema
}
interface Operation {
  parameters?: Parameter[]
  responses: Record<string, { schema?: Schema }>
}
interface OpenApi {
  info: { version: string }
  paths: Record<string, Record<string, Operation>>
  definitions: Record<string, Schema>
}

/** What the driver uses, and what snapshots will: types are made of these alone. */
const USED = {
  put: [
    '/actions',
    '/boot-source',
    '/drives/{drive_id}',
    '/entropy',
    '/logger',
    '/machine-config',
    '/serial',
    '/snapshot/create',
    '/snapshot/load',
    '/vsock',
  ],
  patch: ['/drives/{drive_id}', '/vm'],
  get: ['/version'],
}
const KEPT = ['type', '$ref', 'required', 'enum', 'minimum', 'maximum', 'additionalProperties'] as const

const root = join(import.meta.dirname, '..')
const check = process.argv.includes('--check')
const named = process.argv.slice(2).find((argument) => !argument.startsWith('--'))
const source = resolve(named ?? join(root, '../shared/reference/firecracker-v1.16.1-api.yaml'))
if (check && !existsSync(source)) process.exit(0)
const api = parse(readFileSync(source, 'utf8')) as OpenApi

const files = {
  'src/backend/firecracker/api.gen.ts': types(api),
  'test/backend/firecracker/api.gen.json': schemas(api),
}
for (const [path, unformatted] of Object.entries(files)) {
  const file = join(root, path)
  const text = formatted(file, unformatted)
  if (existsSync(file) && readFileSync(file, 'utf8') === text) continue
  if (check) {
    console.error(`${path} is stale: run scripts/node scripts/firecracker-types.ts`)
    process.exitCode = 1
    continue
  }
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, text)
  console.log(`${path} written`)
}

function formatted(file: string, text: string): string {
  const biome = join(root, 'node_modules/@biomejs/biome/bin/biome')
  const args = [biome, 'format', `--stdin-file-path=${file}`]
  return execFileSync(process.execPath, args, { input: text, encoding: 'utf8', cwd: root })
}

function types({ info, paths, definitions }: OpenApi): string {
  const wanted = new Set<string>()
  const want = (schema: Schema): void => {
    const name = nameOf(schema)
    if (name !== undefined && !wanted.has(name)) {
      wanted.add(name)
      want(definitions[name]!)
    }
    if (schema.items) want(schema.items)
    Object.values(schema.properties ?? {}).forEach(want)
  }
  const tables = Object.entries(USED).map(([method, used]) => {
    const title = method[0]!.toUpperCase() + method.slice(1)
    const rows = used.map((path) => {
      const operation = paths[path]?.[method]
      const schema = operation && (method === 'get' ? operation.responses['200']?.schema : bodyOf(operation))
      if (!schema) throw new Error(`${source} has no ${method} of ${path}`)
      want(schema)
      const key = path.includes('{')
        ? `[path: \`${path.replace(/(?<=\{)\w+/, 'string').replace('{', '$$' + '{')}\`]`
        : `'${path}'`
      return `  ${key}: ${typeOf(schema)}`
    })
    return `export interface ${title} {\n${rows.join('\n')}\n}`
  })
  const declared = [...wanted].sort().map((name) => declaration(name, definitions[name]!))
  const title = `/** Requests of Firecracker's API ${info.version}, by path; made by scripts/firecracker-types.ts, not by hand. */`
  return [title, ...tables, ...declared].join('\n\n')
}

function declaration(name: string, schema: Schema): string {
  if (schema.type !== 'object') return `export type ${name} = ${typeOf(schema)}`
  const fields = Object.entries(schema.properties ?? {}).map(([field, value]) => {
    const optional = schema.required?.includes(field) ? '' : '?'
    const { minimum, maximum } = value
    const range = [
      minimum === undefined ? '' : `at least ${minimum}`,
      maximum === undefined ? '' : `at most ${maximum}`,
    ]
    const said = range.filter(Boolean).join(', ')
    return `${said ? `  /** ${said} */\n` : ''}  ${field}${optional}: ${typeOf(value)}`
  })
  return `export interface ${name} {\n${fields.join('\n')}\n}`
}

function typeOf(schema: Schema): string {
  const name = nameOf(schema)
  if (name !== undefined) return name
  if (schema.enum) return schema.enum.map((value) => `'${value}'`).join(' | ')
  if (schema.type === 'array') return `${typeOf(schema.items!)}[]`
  return { integer: 'number', string: 'string', boolean: 'boolean', object: 'Record<string, unknown>' }[
    schema.type ?? 'object'
  ]
}

/** The whole API: bodies by "METHOD path", and the definitions with what a validator needs of them. */
function schemas({ info, paths, definitions }: OpenApi): string {
  const requests: Record<string, Schema> = {}
  for (const [path, methods] of Object.entries(paths))
    for (const [method, operation] of Object.entries(methods)) {
      const schema = bodyOf(operation)
      if (schema) requests[`${method.toUpperCase()} ${path}`] = reduced(schema)
    }
  const reducedOnes = Object.entries(definitions).map(([name, schema]) => [name, reduced(schema)] as const)
  const line = ([name, schema]: readonly [string, Schema]) =>
    `    ${JSON.stringify(name)}: ${JSON.stringify(schema)}`
  return `{
  "version": ${JSON.stringify(info.version)},
  "requests": {
${Object.entries(requests).map(line).join(',\n')}
  },
  "definitions": {
${reducedOnes.map(line).join(',\n')}
  }
}
`
}

function reduced(schema: Schema): Schema {
  const kept: Record<string, unknown> = {}
  for (const key of KEPT) if (schema[key] !== undefined) kept[key] = schema[key]
  if (schema.items) kept['items'] = reduced(schema.items)
  if (schema.properties)
    kept['properties'] = Object.fromEntries(
      Object.entries(schema.properties).map(([name, value]) => [name, reduced(value)]),
    )
  return kept
}

function bodyOf(operation: Operation): Schema | undefined {
  return operation.parameters?.find((parameter) => parameter.in === 'body')?.schema
}

function nameOf(schema: Schema): string | undefined {
  return schema.$ref?.replace('#/definitions/', '')
}
