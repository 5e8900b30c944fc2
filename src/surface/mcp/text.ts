/** A result as text for a host that shows no structured content: what a command said as it is, the rest as JSON. */

const MAX_CHARS = 20_000

type Fields = Record<string, unknown>

export function textOf(output: unknown): string {
  return bounded(
    isCommand(output)
      ? commandText(output)
      : entriesOf(output)?.map(commandText).join('\n') || JSON.stringify(output, null, 1),
  )
}

const isCommand = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && 'stdout' in value && 'job_id' in value

function entriesOf(output: unknown): Fields[] | undefined {
  const entries = (output as { entries?: unknown }).entries
  return Array.isArray(entries) && entries.every(isCommand) ? entries : undefined
}

const SAID = ['job_id', 'state', 'exit_code', 'signal', 'timed_out', 'duration_ms', 'survivors']

function commandText(output: Fields): string {
  const told = SAID.filter(
    (field) => ![null, undefined, false, 0].includes(output[field] as null) || field === 'exit_code',
  )
  const head = told.map((field) => `${field}=${output[field]}`).join(' ')
  const parts = (['stdout', 'stderr'] as const).map((name) => streamText(name, output))
  return [head, ...parts.filter((part) => part !== '')].join('\n')
}

interface Part {
  data?: string
  encoding?: string
  cursor: number
  dropped: number
  eof: boolean
}

function streamText(name: 'stdout' | 'stderr', output: Fields): string {
  const inline = typeof output[name] === 'string'
  const at = (inline ? output[`${name}_stream`] : output[name]) as Part
  const data = inline ? (output[name] as string) : (at.data ?? '')
  const gone = at.dropped > 0 ? `${at.dropped} bytes before this are no longer kept` : ''
  const more = at.eof ? '' : `goes on at ${name}_cursor=${at.cursor}`
  const notes = [at.encoding === 'base64' ? 'base64' : '', gone, more].filter((note) => note !== '')
  if (data === '' && notes.length === 0) return ''
  return `${name}${notes.length > 0 ? ` (${notes.join('; ')})` : ''}:\n${bounded(data, MAX_CHARS / 2 - 500)}`
}

/** The beginning and the end, which say most. */
function bounded(text: string, most: number = MAX_CHARS): string {
  if (text.length <= most) return text
  const half = Math.floor(most / 2) - 40
  return `${text.slice(0, half)}\n… ${text.length - 2 * half} characters left out …\n${text.slice(-half)}`
}
