/** What can follow what on the command line, in the form that all three scripts are written from. */
import { HOST_PATHS } from '../../sdk/names.ts'
import { type CommandWords, GROUPS, HELP, noteOf } from '../words.ts'

/** What a value may be: one of a few words, or what is only known when it is asked for; null: anything. */
export type Values = { choices: string[] } | { ask: Asked } | null
/** file: a path of this machine. The others are printed by the hidden command. */
export type Asked = 'file' | 'workspace' | 'job' | 'environment'

export interface Entry {
  /** Words that lead here, joined by spaces; '' is `pyro` itself. */
  path: string
  subcommands: { name: string; help: string }[]
  positionals: Values[]
  flags: { flag: string; short?: string; help: string; takes: 'nothing' | Values }[]
  /** Everything after `--` is a command. */
  rest: boolean
}

const ASKED: Record<string, Asked> = {
  workspace_id: 'workspace',
  job_id: 'job',
  environment: 'environment',
  repo: 'file',
  ...Object.fromEntries(HOST_PATHS.map((field) => [field, 'file'])),
}

const valuesOf = ({ field, choices }: { field: string; choices?: string[] }): Values => {
  const ask = ASKED[field]
  return choices !== undefined ? { choices } : ask !== undefined ? { ask } : null
}

export function completionTable(commands: CommandWords[]): Entry[] {
  const entries = new Map<string, Entry>()
  const entry = (path: string[]): Entry => {
    const key = path.join(' ')
    let known = entries.get(key)
    if (known === undefined) {
      const help = { ...HELP, takes: 'nothing' as const }
      known = { path: key, subcommands: [], positionals: [], flags: [help], rest: false }
      entries.set(key, known)
      if (path.length > 0)
        entry(path.slice(0, -1)).subcommands.push({ name: path.at(-1)!, help: GROUPS[key] ?? '' })
    }
    return known
  }
  entry([]).flags.push({ flag: 'version', short: 'V', help: 'output the version number', takes: 'nothing' })
  for (const { command, summary, positionals, rest, flags, switches } of commands) {
    const found = entry(command)
    entry(command.slice(0, -1)).subcommands.find(({ name }) => name === command.at(-1))!.help = summary
    found.positionals = positionals.map(valuesOf)
    found.rest = rest !== null
    found.flags.push(
      ...flags.map((field) => ({
        flag: field.flag,
        help: noteOf(field),
        takes: field.kind === 'boolean' ? ('nothing' as const) : valuesOf(field),
      })),
      ...switches.map((one) => ({ ...one, takes: 'nothing' as const })),
    )
  }
  return [...entries.values()]
}
