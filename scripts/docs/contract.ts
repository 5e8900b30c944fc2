// docs/public-contract.md: every operation as each face offers it.
import { z } from 'zod'
import { type FieldDescription, type OperationDescription, describe } from '../../src/contract/describe.ts'
import { ERRORS, type ErrorCode } from '../../src/contract/errors.ts'
import type { Operation } from '../../src/contract/operation.ts'
import { OPERATIONS } from '../../src/contract/table.ts'
import { COMMON_ERRORS, NETWORK_ERRORS } from '../../src/surface/http/openapi.ts'
import { type Property, fieldRows } from './fields.ts'

export function contractPage(): string {
  const described = new Map(describe().map((operation) => [operation.name as string, operation]))
  const operations = Object.values(OPERATIONS as Record<string, Operation>)
  return [
    INTRODUCTION,
    overview(operations),
    STREAMS,
    errorTable(),
    '## Operations\n',
    ...operations.map((operation) => section(operation, described.get(operation.name)!)),
  ].join('\n')
}

const INTRODUCTION = `<!-- Written by npm run docs from src/contract. Do not edit. -->
# Public contract

Every operation has one name, one input, one output and one list of errors, whichever face it is asked through:

- **HTTP**: \`POST /v1/<name>\` with a JSON object on the engine's unix socket (\`pyro daemon status\` names it), or with a
  bearer token on the address of \`pyro daemon listen\` ([guide](guide/http.md)). The answer is the output, or \`{"error": {code, message, hint?, retryable}}\` with the status of its code. With
  \`accept: application/x-ndjson\` the answer is lines: any number of \`{"progress": …}\`, then one \`{"result": …}\` or
  \`{"error": …}\`. Closing the connection cancels the call. [openapi.json](openapi.json) has it all; the engine serves it at
  \`GET /openapi.json\`.
- **SDK**: a method of \`Pyro\`, with the same fields in camelCase. The keys of \`labels\` and \`env\` are the caller's and stay as they are.
  Every method takes \`{signal, onProgress}\` as its second argument and throws \`PyroError\`.
- **CLI**: \`pyro <words>\`. With \`--json\` the output, or the error, is printed on standard output as it is here; without, for
  people. \`exec\` and \`run\` pass the command's output and exit status through, and say the rest on standard error: 128 + n for a
  signal, 124 when its time was up. The first Ctrl-C is SIGINT for the command, a second ends its whole process tree.
- **MCP**: a tool of \`pyro mcp serve\`, and of \`/mcp\` on the address of \`pyro daemon listen\`, with the output as structured content. Errors are results with \`isError\` and the error
  as JSON text.

Relative \`seed_path\` and \`output_path\` are resolved against the working directory by SDK, CLI and the MCP server of \`pyro mcp
serve\`. Over HTTP, also with PYRO_URL, they are absolute, and paths of the machine that the engine runs on. Operations that
are marked as such are answered over the socket alone, others are told \`local_only\`.
`

function overview(operations: Operation[]): string {
  const rows = operations.map(({ name, command, sdk, tool, summary }) => {
    const anchor = `[${name}](#${name})`
    return `| ${anchor} | \`pyro ${command.join(' ')}\` | \`${sdk}\` | ${tool === null ? '' : `\`${tool}\``} | ${summary} |`
  })
  return `| operation | CLI | SDK | MCP | |\n|---|---|---|---|---|\n${rows.join('\n')}\n`
}

const STREAMS = `## Streams

The output of a command is two streams of bytes. A position in one is a **cursor**, a count of bytes from its start that stays
valid as long as the workspace lives. Wherever a part of a stream is given:

- \`cursor\` follows the bytes given: go on from there,
- \`dropped\` counts bytes between the cursor that was asked for and the first one given that are no longer kept,
- \`eof\` says that nothing will follow.

The last 32 MiB of each stream are kept (\`spool_bytes\`), the oldest are dropped first. A reader that sets \`attach\`
loses nothing: while it reads, and for 10 seconds after each of its calls, the command waits rather than overwrite what the
reader has not acknowledged by its cursors.
`

function errorTable(): string {
  const rows = Object.entries(ERRORS).map(
    ([code, { exit, http, retryable, meaning }]) =>
      `| \`${code}\` | ${exit} | ${http} | ${retryable ? 'yes' : ''} | ${meaning} |`,
  )
  return `## Errors

Any operation can give ${list(COMMON_ERRORS)}; over an address also
${list(NETWORK_ERRORS)}; the client adds \`engine_unreachable\`. Retryable: the same call may succeed when it is
made again.

| code | exit status | HTTP status | retryable | meaning |
|---|---|---|---|---|
${rows.join('\n')}
`
}

const list = (codes: readonly ErrorCode[]) => codes.map((code) => `\`${code}\``).join(', ')

function section(
  { name, command, sdk, tool, summary, description, input, output, effects, errors, localOnly }: Operation,
  described: OperationDescription,
): string {
  const flags = new Map(
    [...described.positionals, ...described.flags].map((field) => [field.field, spelling(field, described)]),
  )
  if (described.rest !== null) flags.set(described.rest.field, '`-- WORDS…`')
  const schema = z.toJSONSchema(input, { io: 'input' }) as Property
  const told = [
    effects.readOnly ? 'read-only' : 'changes state',
    ...(effects.destructive ? ['destructive'] : []),
    ...(effects.idempotent ? ['idempotent'] : []),
    ...(localOnly === true ? ['over the socket alone'] : []),
  ]
  const tools = tool === null ? 'no MCP tool' : `MCP \`${tool}\``
  return [
    `### ${name}\n`,
    `${summary} ${description}\n`,
    `\`POST /v1/${name}\` · SDK \`${sdk}\` · ${tools} · ${told.join(', ')}\n`,
    `\`\`\`sh\n${[usage(command, described), ...described.examples.map((line) => `pyro ${line}`)].join('\n')}\n\`\`\`\n`,
    inputTable(schema, flags),
    `Output:\n\n| field | type | |\n|---|---|---|\n${fieldRows(z.toJSONSchema(output, { io: 'output' }) as Property).join('\n')}\n`,
    errors.length === 0 ? '' : `Errors: ${list(errors)}.\n`,
  ]
    .filter((part) => part !== '')
    .join('\n')
}

function usage(command: string[], { positionals, rest }: OperationDescription): string {
  const words = positionals.map(({ field, required }) => (required ? `<${field}>` : `[${field}]`))
  return [
    '#',
    'pyro',
    ...command,
    '[options]',
    ...words,
    ...(rest === null ? [] : ['--', `<${rest.field}...>`]),
  ].join(' ')
}

function spelling(field: FieldDescription, { positionals }: OperationDescription): string {
  if (positionals.some((positional) => positional.field === field.field)) return `\`<${field.field}>\``
  const value =
    { boolean: '', map: ' KEY=VALUE', list: ' VALUE', command: ' TEXT' }[field.kind as string] ?? ' VALUE'
  return `\`--${field.flag}${value}\``
}

function inputTable(schema: Property, flags: Map<string, string>): string {
  const rows = fieldRows(schema, flags)
  return rows.length === 0
    ? 'It takes no input.\n'
    : `| input | type | CLI | |\n|---|---|---|---|\n${rows.join('\n')}\n`
}
