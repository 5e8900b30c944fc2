/** The manual page pyro(1), from the contract's table: man(7) macros, as groff and mandoc know them. */
import { type FieldDescription, describe } from '../src/contract/describe.ts'
import { ERRORS } from '../src/contract/errors.ts'
import {
  type CommandWords,
  commandWords,
  noteOf,
  type Switch,
  placeholder,
} from '../src/surface/cli/words.ts'

export function manualPage(version: string): string {
  const commands = commandWords(describe())
  return `${[
    '.\\" Written from the contract of pyro. Do not edit.',
    `.TH PYRO 1 "" "pyro ${version}" "User Commands"`,
    // Wide words such as paths would otherwise be set with gaps.
    '.nh',
    '.ad l',
    '.SH NAME',
    `pyro \\- a machine of its own for a coding agent`,
    '.SH SYNOPSIS',
    '.B pyro',
    '.I command',
    '.RI [ options ]',
    '.RI [ arguments ]',
    '.RB [ \\-\\-',
    '.IR command ...]',
    '.SH DESCRIPTION',
    text(
      'A workspace starts from a copy of a directory. Whoever it is for runs commands in it; its user sees what was done, takes out the files that are wanted, and throws the rest away. Files outside are never touched unless they are named.',
    ),
    '.PP',
    text(
      'The commands below act on one engine for each user and PYRO_HOME. It is started by the first command and leaves when nothing runs for a while; workspaces go on without it.',
    ),
    '.SH COMMANDS',
    text('Each command says with --help, or after the word help, what stands here.'),
    ...commands.flatMap(section),
    '.SH EXIT STATUS',
    text(
      'exec and run exit as their command does: with its own status, with 128 + n where signal n ended it, with 124 when its time was up. Everything else exits with 0, with 1 where a check failed, or by what went wrong:',
    ),
    ...exits(),
    '.SH ENVIRONMENT',
    ...VARIABLES.flatMap(([name, what]) => ['.TP', `.B ${escaped(name)}`, text(what)]),
    '.SH FILES',
    ...FILES.flatMap(([name, what]) => ['.TP', `.I ${escaped(name)}`, text(what)]),
    '.SH EXAMPLES',
    ...EXAMPLES.flatMap(({ what, lines }, at) => [...(at > 0 ? ['.PP'] : []), text(what), ...example(lines)]),
    '.SH SEE ALSO',
    '.BR git (1),',
    '.BR runc (8),',
    '.BR qemu\\-system\\-x86_64 (1)',
    '.PP',
    text('docs/guide and docs/public-contract.md in the package say more.'),
  ].join('\n')}\n`
}

function section({
  command,
  description,
  summary,
  positionals,
  rest,
  flags,
  switches,
  examples,
}: CommandWords): string[] {
  const words = positionals.map(({ field, required }) => (required ? `<${field}>` : `[${field}]`))
  const usage = [
    'pyro',
    ...command,
    '[options]',
    ...words,
    ...(rest === null ? [] : ['--', `<${rest.field}...>`]),
  ]
  return [
    `.SS "${escaped(['pyro', ...command].join(' '))}"`,
    `.B ${escaped(usage.join(' '))}`,
    '.PP',
    text(`${summary} ${description}`),
    ...positionals.flatMap(({ field, help }) => ['.TP', `.I ${escaped(field)}`, text(help)]),
    ...flags.flatMap(flag),
    ...switches.flatMap(plain),
    '.PP',
    text(examples.length === 1 ? 'Example:' : 'Examples:'),
    ...example(examples.map((line) => `pyro ${line}`)),
  ]
}

function flag(field: FieldDescription): string[] {
  const value = placeholder(field)
  const choices = field.choices === undefined ? '' : ` One of: ${field.choices.join(', ')}.`
  const name = `\\fB${escaped(`--${field.flag}`)}\\fR${value === '' ? '' : ` \\fI${escaped(value)}\\fR`}`
  return [
    '.TP',
    name,
    text(`${noteOf(field)}${choices}${field.required ? ' Required.' : ''}`.trim() || 'See above.'),
  ]
}

function plain({ flag, short, help }: Switch): string[] {
  const names = [...(short === undefined ? [] : [`-${short}`]), `--${flag}`].map(
    (name) => `\\fB${escaped(name)}\\fR`,
  )
  return ['.TP', names.join(', '), text(`${help[0]!.toUpperCase()}${help.slice(1)}.`)]
}

const example = (lines: string[]) => ['.RS 4', '.nf', ...lines.map((line) => text(line)), '.fi', '.RE']

/** Codes of the contract by the status that they exit with. */
function exits(): string[] {
  const byExit = Map.groupBy(Object.entries(ERRORS), ([, { exit }]) => exit)
  return [...byExit]
    .sort(([one], [other]) => one - other)
    .flatMap(([exit, codes]) => ['.TP', `.B ${exit}`, text(codes.map(([code]) => code).join(', '))])
}

const VARIABLES: [string, string][] = [
  ['PYRO_SHARED', 'Where the homes of root know of each other. Default: /var/lib/pyro.'],
  ['PYRO_HOME', 'Where state lies. Default: $XDG_STATE_HOME/pyro, else ~/.local/state/pyro.'],
  ['PYRO_CACHE', 'Where environments are built. Default: $XDG_CACHE_HOME/pyro, else ~/.cache/pyro.'],
  [
    'PYRO_URL, PYRO_TOKEN',
    'An engine that listens (pyro daemon listen), asked instead of the one of this user.',
  ],
  ['PYRO_OCI_RUNTIME', 'Name or path of the OCI runtime. Default: crun or runc, whichever works.'],
  ['PYRO_CGROUP', 'A cgroup that was delegated to this user, as a path below /sys/fs/cgroup.'],
  ['PYRO_QEMU, PYRO_QEMU_MACHINE', 'Another QEMU than the one on PATH; microvm or q35.'],
  ['PYRO_QEMU_ACCEL', 'auto, kvm or tcg.'],
  ['PYRO_FIRECRACKER, PYRO_JAILER', 'Another Firecracker than the one on PATH, and its jailer.'],
  ['PYRO_SEED_MAX_ENTRIES, PYRO_SEED_MAX_BYTES', 'Bounds of seeds, for an engine that is started with them.'],
  ['PYRO_NATIVE', 'Another native program than the one that came with pyro; its guest lies beside it.'],
  ['PYRO_IDLE_SECONDS', 'How long an engine stays when nothing runs. Default: 120.'],
]
const FILES: [string, string][] = [
  [
    '~/.local/state/pyro',
    'State: the database, the layers of workspaces, the log of the engine (engine.log).',
  ],
  ['~/.cache/pyro', 'What can be built again: environments, the kernel of machines.'],
]
const EXAMPLES: { what: string; lines: string[] }[] = [
  { what: 'See what works on this machine:', lines: ['pyro doctor'] },
  {
    what: 'A workspace from the present directory, a command in it, a file taken out:',
    lines: [
      'id=$(pyro workspace create host --seed-path . --id-only)',
      'pyro workspace exec "$id" -- npm test',
      'pyro workspace export "$id" report.html --output ./report.html',
      'pyro workspace delete "$id"',
    ],
  },
]

/** Text of a line of its own: what would be a request at its beginning is none. */
const text = (words: string) => escaped(words).replace(/^(?=[.'])/gm, '\\&')

/** Everything a formatter would obey or change: hyphens stay what can be copied. */
function escaped(words: string): string {
  return words
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll("'", '\\(aq')
    .replaceAll('"', '\\(dq')
    .replaceAll('`', '\\(ga')
    .replaceAll('~', '\\(ti')
    .replaceAll('^', '\\(ha')
}
