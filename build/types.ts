/**
 * The types of the SDK, self-contained: those that come from the contract's schemas are written out, so that a program
 * that uses the package needs no schema library.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, globSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { z } from 'zod'
import type { Operation } from '../src/contract/operation.ts'
import { OPERATIONS } from '../src/contract/table.ts'

const ENTRY = 'surface/sdk/index.d.ts'
const IMPORT = /(from\s+|import\()(['"])([^'"]+)\2/g

export function types(root: string, folder: string): void {
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  execFileSync(process.execPath, [tsc, '-p', join(root, 'build/types.json')], { stdio: 'inherit' })
  writeFileSync(join(folder, 'contract/table.d.ts'), contractTypes())
  const used = reachable(folder)
  for (const file of globSync('**/*.d.ts', { cwd: folder })) if (!used.has(file)) rmSync(join(folder, file))
  // Folders from the deepest up: an empty one goes.
  for (const path of globSync('**/', { cwd: folder }).sort().reverse())
    if (globSync('**/*.d.ts', { cwd: join(folder, path) }).length === 0)
      rmSync(join(folder, path), { recursive: true })
  for (const file of used) {
    const text = readFileSync(join(folder, file), 'utf8')
    writeFileSync(
      join(folder, file),
      text.replace(IMPORT, (_, how, quote, from) => `${how}${quote}${from.replace(/\.ts$/, '.js')}${quote}`),
    )
  }
}

/** Files that the entry leads to. Nothing but Node's own modules may be needed besides. */
function reachable(folder: string): Set<string> {
  const found = new Set<string>()
  const visit = (file: string): void => {
    if (found.has(file)) return
    found.add(file)
    for (const [, , , from = ''] of readFileSync(join(folder, file), 'utf8').matchAll(IMPORT)) {
      if (from.startsWith('node:')) continue
      const target = join(dirname(file), from.replace(/\.ts$/, '.d.ts'))
      if (!from.startsWith('.') || !existsSync(join(folder, target)))
        throw new Error(`types of the SDK: ${file} needs ${from}`)
      visit(target)
    }
  }
  visit(ENTRY)
  return found
}

/** src/contract/table.ts as far as types go. */
function contractTypes(): string {
  const operations = Object.values(OPERATIONS as Record<string, Operation>).map(
    ({ name, sdk, summary, description, input, output }) =>
      [
        `    /** ${summary} ${description} */`,
        `    ${name}: {`,
        `        sdk: '${sdk}';`,
        `        input: ${typeOf(schemaOf(input, 'input'), '        ', 'input')};`,
        `        output: ${typeOf(schemaOf(output, 'output'), '        ', 'output')};`,
        '    };',
      ].join('\n'),
  )
  return `export interface Operations {
${operations.join('\n')}
}
export type OperationName = keyof Operations;
export type InputOf<N extends OperationName> = Operations[N]['input'];
export type OutputOf<N extends OperationName> = Operations[N]['output'];
/** What long work tells its caller on the way. */
export type Progress = {
    kind: 'step';
    text: string;
} | {
    kind: 'count';
    text: string;
    done: number;
    total?: number;
} | {
    kind: 'output';
    stream: 'stdout' | 'stderr';
    text: string;
};
`
}

type Schema = z.core.JSONSchema.JSONSchema
const schemaOf = (schema: z.ZodType, io: 'input' | 'output') =>
  z.toJSONSchema(schema, { io, reused: 'inline' }) as Schema

/** A JSON Schema (2020-12), of the part of it that zod writes for our fields, as a type. */
function typeOf(schema: Schema, indent: string, io: 'input' | 'output'): string {
  const inner = (part: Schema) => typeOf(part, indent, io)
  const { anyOf, enum: choices, const: constant, type, items, properties, additionalProperties } = schema
  if (anyOf !== undefined) return anyOf.map((one) => inner(one as Schema)).join(' | ')
  if (constant !== undefined) return JSON.stringify(constant)
  if (choices !== undefined) return choices.map((choice) => JSON.stringify(choice)).join(' | ')
  if (Array.isArray(type)) return type.map((one) => inner({ ...schema, type: one })).join(' | ')
  if (type === 'array') return `(${inner(items as Schema)})[]`
  if (type === 'integer' || type === 'number') return 'number'
  if (type === 'string' || type === 'boolean' || type === 'null') return type
  if (type !== 'object') throw new Error(`no type is known for ${JSON.stringify(schema)}`)
  if (properties === undefined) return `{ [key: string]: ${inner(additionalProperties as Schema)} }`
  const fields = Object.entries(properties).map(([name, field]) => {
    const property = field as Schema
    const optional = !schema.required?.includes(name)
    const words = property.description === undefined ? '' : `${indent}    /** ${property.description} */\n`
    const found = typeOf(property, `${indent}    `, io)
    return `${words}${indent}    ${name}${optional ? '?' : ''}: ${found}${optional ? ' | undefined' : ''};`
  })
  return fields.length === 0 ? 'Record<string, never>' : `{\n${fields.join('\n')}\n${indent}}`
}
