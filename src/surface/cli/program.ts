/** The command line as commander knows it. Only the command that was asked for gets its arguments and flags. */
import { Argument, Command, CommanderError, Option } from 'commander'
import type { FieldDescription, OperationDescription } from '../../contract/describe.ts'
import { PyroError } from '../../contract/errors.ts'
import { VERSION } from '../sdk/version.ts'
import { fieldParser, fieldValue } from './fields.ts'
import { note, printJson, writeNow } from './print.ts'
import { COMPLETION, type CommandWords, GROUPS, MCP_SERVE, noteOf, switchesOf, placeholder } from './words.ts'

export interface Invocation {
  operation: OperationDescription
  /** Fields as the contract names them. */
  input: Record<string, unknown>
  flags: SpecialFlags
}
/** What only a command line has. */
export interface SpecialFlags {
  json: boolean
  idOnly: boolean
  stdin: boolean
  shell: boolean
}
export interface ProgramOptions {
  argv: string[]
  operations: OperationDescription[]
  perform: (invocation: Invocation) => Promise<number>
}

export function program({ argv: given, operations, perform }: ProgramOptions): {
  run: () => Promise<number>
} {
  // `pyro help workspace exec` is `pyro workspace exec --help`, however deep.
  const argv = given[0] === 'help' ? [...given.slice(1), '--help'] : given
  const root = new Command('pyro')
  const wanted = wantedOperation(argv, operations)
  const end = argv.indexOf('--')
  const split = wanted?.rest != null && end >= 0
  const words = split ? argv.slice(0, end) : argv
  const rest = split ? argv.slice(end + 1) : []
  const json = words.includes('--json')
  let exit = 0

  root
    .description('A machine of its own for a coding agent.')
    .version(VERSION, '-V, --version')
    .helpOption('-h, --help', 'say how')
    .exitOverride()
    .configureOutput({
      writeOut: (text) => writeNow(1, text),
      writeErr: (text) => (json ? undefined : writeNow(2, text)),
      outputError: (text, write) => write(text),
    })
    .addHelpText(
      'after',
      '\nExamples:\n  $ pyro demo\n  $ pyro run host -- uname -a\n  $ pyro workspace create host --seed-path . --name fix\n\n' +
        'PYRO_HOME names the state directory; PYRO_URL and PYRO_TOKEN an engine that listens (pyro daemon listen).',
    )

  const groups = new Map<string, Command>([['', root]])
  const groupOf = (path: string[]): Command => {
    const key = path.join(' ')
    const known = groups.get(key)
    if (known !== undefined) return known
    const made = groupOf(path.slice(0, -1))
      .command(path.at(-1)!)
      .description(GROUPS[key] ?? '')
    groups.set(key, made)
    return made
  }
  for (const operation of operations) {
    const [last, parent] = [operation.command.at(-1)!, operation.command.slice(0, -1)]
    const command = groupOf(parent)
      .command(last, { isDefault: operation.name === 'daemon_status' })
      .summary(operation.summary)
    if (operation !== wanted) continue
    define(command, operation)
    command.action(async () => {
      const input = inputOf(operation, command, rest)
      exit = await perform({ operation, input, flags: specialFlags(command.opts()) })
    })
  }
  const own = (words: CommandWords, run: (word: string | undefined) => Promise<void>) =>
    describeOwn(groupOf(words.command.slice(0, -1)), words).action(run)
  own(MCP_SERVE, async () => (await import('../mcp/serve.ts')).serveMcp())
  own(COMPLETION, async (shell) => (await import('./completion/index.ts')).printCompletion(shell, operations))
  root
    .command('__complete', { hidden: true })
    .argument('<kind>')
    .argument('[workspace]')
    .action(async (kind, workspace) => {
      await (await import('./completion/values.ts')).printValues(kind, workspace)
    })

  async function run(): Promise<number> {
    try {
      await root.parseAsync(words, { from: 'user' })
      return exit
    } catch (error) {
      if (!(error instanceof CommanderError)) throw error
      if (error.exitCode === 0) return 0
      const message = error.message.replace(/^error: /, '').replace(/\n/g, ' ')
      if (json) printJson({ error: new PyroError('invalid_input', message).toBody() })
      else if (error.code === 'commander.excessArguments' && wanted?.rest != null)
        note('hint: the command to run goes after --')
      return 2
    }
  }
  return { run }
}

function describeOwn(group: Command, { command, summary, description, positionals, examples }: CommandWords) {
  const made = group.command(command.at(-1)!).summary(summary).description(`${summary}\n\n${description}`)
  for (const { field, help, choices } of positionals)
    made.addArgument(new Argument(`<${field}>`, help).choices(choices ?? []))
  return made.addHelpText('after', examplesText(examples))
}

const examplesText = (lines: string[]) => `\nExamples:\n${lines.map((line) => `  $ pyro ${line}`).join('\n')}`

/** The operation whose words the command line begins with; what stands before it are global flags. */
function wantedOperation(
  argv: string[],
  operations: OperationDescription[],
): OperationDescription | undefined {
  const words = argv.filter((word) => !word.startsWith('-'))
  const matching = operations.filter(({ command }) => command.every((word, at) => words[at] === word))
  const longest = matching.sort((one, other) => other.command.length - one.command.length)[0]
  if (longest === undefined && words.length === 1 && words[0] === 'daemon')
    return operations.find(({ name }) => name === 'daemon_status')
  return longest
}

function define(command: Command, operation: OperationDescription): void {
  const { positionals, rest, flags, examples, description, summary, name } = operation
  command.description(`${summary}\n\n${description}`)
  for (const { field, required, help } of positionals)
    command.argument(required ? `<${field}>` : `[${field}]`, help)
  if (rest !== null)
    command.usage(`[options] ${positionals.map(({ field }) => `<${field}>`).join(' ')} -- <${rest.field}...>`)
  for (const field of flags) command.addOption(optionOf(field, name))
  for (const { flag, short, help } of switchesOf(operation))
    command.option(short === undefined ? `--${flag}` : `-${short}, --${flag}`, help)
  command.addHelpText('after', examplesText(examples))
}

function optionOf(field: FieldDescription, operation: string): Option {
  const { flag, kind, choices } = field
  const value = placeholder(field)
  const option = new Option(`--${flag}${value === '' ? '' : ` <${value}>`}`, noteOf(field))
  if (choices !== undefined) option.choices(choices)
  else if (kind !== 'boolean') option.argParser(fieldParser(field))
  // A demonstration of the place one is in needs no flag.
  if (operation === 'demo' && field.field === 'seed_path') return option.default('.')
  return field.required ? option.makeOptionMandatory() : option
}

function inputOf(operation: OperationDescription, command: Command, rest: string[]): Record<string, unknown> {
  const input: Record<string, unknown> = {}
  operation.positionals.forEach((field, at) => {
    const word = command.args[at]
    if (word !== undefined) input[field.field] = fieldValue(field, word)
  })
  const given = command.opts<Record<string, unknown>>()
  for (const field of operation.flags) {
    const value = given[attributeOf(field.flag)]
    if (value !== undefined) input[field.field] = value
  }
  if (operation.rest !== null) {
    if (rest.length === 0)
      throw new PyroError('invalid_input', 'There is no command to run.', {
        hint: `Give it after --, as in: pyro ${operation.examples[0]}`,
      })
    input[operation.rest.field] = given['shell'] === true ? rest.join(' ') : rest
  }
  return input
}

const attributeOf = (flag: string): string =>
  flag.replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase())

function specialFlags(given: Record<string, unknown>): SpecialFlags {
  return {
    json: given['json'] === true,
    idOnly: given['idOnly'] === true,
    stdin: given['stdin'] === true,
    shell: given['shell'] === true,
  }
}
