/** Results as people read them: lines that begin with a tag and hold key=value, and tables for lists. */
import type { OperationDescription } from '../../contract/describe.ts'
import { bytesText } from '../progress.ts'
import { note, print, writeNow } from './print.ts'

type Row = Record<string, unknown>

export const tagOf = ({ command }: Pick<OperationDescription, 'command'>): string => `[${command.join('-')}]`

export function render(operation: OperationDescription, output: Row): void {
  const tag = tagOf(operation)
  const special = SPECIAL[operation.name]
  if (special !== undefined) return special(output, tag)
  for (const line of lines(tag, output)) print(line)
}

const SPECIAL: Partial<Record<string, (output: Row, tag: string) => void>> = {
  env_list: ({ environments }) => table(environments as Row[], ['name', 'state', 'backends', 'description']),
  env_inspect({ packages, ...rest }, tag) {
    for (const line of lines(tag, rest)) print(line)
    const names = (packages as Row[]).map(({ name, version }) => `${name}=${version}`)
    if (names.length > 0) print(`${tag} packages: ${names.join(' ')}`)
  },
  env_prune({ removed, kept, freed_bytes, dry_run }, tag) {
    const part = ({ environment, what, path, bytes }: Row) =>
      `${environment ?? what} ${bytesText(bytes as number)} ${path}`
    for (const one of removed as Row[]) print(`${tag} ${dry_run ? 'would remove' : 'removed'} ${part(one)}`)
    for (const { reason, used_by, ...one } of kept as Row[]) {
      const users = (used_by as Row[]).map(({ workspace_id, name }) => name ?? workspace_id)
      const why = reason === 'in_use' ? `needed by ${users.join(', ')}` : 'current; --all removes it'
      print(`${tag} kept ${part(one as Row)} (${why})`)
    }
    print(`${tag} ${dry_run ? 'would free' : 'freed'} ${bytesText(freed_bytes as number)}`)
  },
  workspace_list({ workspaces, expired }) {
    table(workspaces as Row[], [
      'workspace_id',
      'name',
      'state',
      'environment',
      'backend',
      'isolation',
      'labels',
      'created_at',
      'expires_at',
      'running_job_count',
    ])
    for (const { never_exported, ...row } of (expired ?? []) as (Row & { never_exported: Left | null })[]) {
      const { count = '?', entries = [], truncated = false } = never_exported ?? {}
      print(fields('[workspace-expired]', { ...row, never_exported: `${count}${truncated ? '+' : ''}` }))
      for (const entry of entries) print(fields('[workspace-expired] never_exported:', entry))
    }
  },
  workspace_job_list: ({ jobs }) =>
    table(jobs as Row[], ['job_id', 'state', 'exit_code', 'signal', 'started_at', 'duration_ms', 'command']),
  workspace_job_read(output, tag) {
    const { stdout, stderr, ...job } = output as { stdout: Chunk; stderr: Chunk } & Row
    writeNow(1, textOf(stdout))
    writeNow(2, textOf(stderr))
    const positions = {
      stdout_cursor: stdout.cursor,
      stderr_cursor: stderr.cursor,
      ...dropped(stdout, stderr),
      eof: stdout.eof && stderr.eof,
    }
    writeNow(2, `${fields(tag, { ...job, ...positions })}\n`)
  },
  workspace_logs({ entries }, tag) {
    for (const { stdout, stderr, stdout_stream, stderr_stream, ...job } of entries as Row[]) {
      const lost = dropped(stdout_stream as Chunk, stderr_stream as Chunk)
      print(fields(tag, { ...job, ...lost }))
      for (const text of [stdout, stderr] as string[]) if (text !== '') print(text.replace(/\n$/, ''))
    }
  },
  doctor({ ok, checks }, tag) {
    for (const { name, status, why, command } of checks as Row[]) {
      print(`${tag} ${String(status).padEnd(7)} ${name}: ${why}`)
      if (command !== null) print(`${tag}         $ ${command}`)
    }
    print(`${tag} ok=${ok}`)
  },
  // By itself, so that it can be taken into a variable.
  daemon_token: ({ token }) => print(String(token)),
  daemon_listen({ warnings, ...rest }, tag) {
    print(fields(tag, rest))
    for (const warning of warnings as string[]) note(`warning: ${warning}`)
    if (rest['listening'] === true)
      note(`hint: export PYRO_URL=${rest['url']} PYRO_TOKEN="$(pyro daemon token)"`)
  },
  demo({ steps, ...rest }, tag) {
    for (const { name, detail, duration_ms } of steps as Row[])
      print(`${tag} ${name}: ${detail} (${duration_ms} ms)`)
    print(fields(tag, rest))
  },
}

interface Left {
  count: number
  entries: Row[]
  truncated: boolean
}

interface Chunk {
  data: string
  encoding: 'utf-8' | 'base64'
  cursor: number
  dropped: number
  eof: boolean
}

export const textOf = ({ data, encoding }: Pick<Chunk, 'data' | 'encoding'>): string =>
  encoding === 'base64' ? Buffer.from(data, 'base64').toString() : data

const dropped = (stdout: Pick<Chunk, 'dropped'>, stderr: Pick<Chunk, 'dropped'>): Row => ({
  ...(stdout.dropped > 0 ? { stdout_dropped: stdout.dropped } : {}),
  ...(stderr.dropped > 0 ? { stderr_dropped: stderr.dropped } : {}),
})

/** First the plain fields, then a line for each part, and one for each entry of a list. */
function lines(tag: string, output: Row): string[] {
  const first = fields(tag, output)
  const parts = Object.entries(output).flatMap(([name, value]) => {
    if (isRows(value)) return value.map((row) => fields(`${tag} ${name}:`, row))
    if (isPart(value)) return lines(`${tag} ${name}:`, value as Row)
    return []
  })
  return [first, ...parts]
}

/** `tag key=value …` of the fields that are no parts of their own. */
export function fields(tag: string, output: Row): string {
  const plain = Object.entries(output).filter(([, value]) => !isRows(value) && !isPart(value))
  return [tag, ...plain.map(([key, value]) => `${key}=${word(value)}`)].join(' ')
}

const isRows = (value: unknown): value is Row[] => Array.isArray(value) && typeof value[0] === 'object'
/** A map of the user's own, as labels are, is one word. */
const isPart = (value: unknown): boolean =>
  value !== null &&
  typeof value === 'object' &&
  !Array.isArray(value) &&
  !Object.values(value).every((inner) => typeof inner === 'string')

function word(value: unknown): string {
  if (value === null || value === undefined) return '-'
  if (Array.isArray(value)) return value.length === 0 ? '-' : quoted(value.join(' '))
  if (typeof value === 'object') {
    const pairs = Object.entries(value)
    return pairs.length === 0 ? '-' : quoted(pairs.map(([key, inner]) => `${key}=${inner}`).join(','))
  }
  return quoted(String(value))
}

const quoted = (text: string): string => (/^[^\s"'\\\p{Cc}]+$/u.test(text) ? text : JSON.stringify(text))

function table(rows: Row[], columns: string[]): void {
  const cells = rows.map((row) => columns.map((column) => cell(row[column])))
  const all = [columns.map((column) => column.replaceAll('_', ' ').toUpperCase()), ...cells]
  const widths = columns.map((_, at) => Math.max(...all.map((row) => row[at]!.length)))
  for (const row of all)
    print(
      row
        .map((text, at) => text.padEnd(widths[at]!))
        .join('  ')
        .trimEnd(),
    )
}

function cell(value: unknown): string {
  const text = Array.isArray(value) ? value.join(' ') : word(value).replace(/^"(.*)"$/, '$1')
  return text.length > 60 ? `${text.slice(0, 59)}…` : text.replaceAll('\n', ' ')
}
