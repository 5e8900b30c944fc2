/** The whole command line as plain data: the contract's commands, and the few that only a command line has. */
import type { FieldDescription, OperationDescription } from '../../contract/describe.ts'

export const GROUPS: Record<string, string> = {
  env: 'Environments: what a workspace is made from.',
  workspace: 'Workspaces: create, run, see, take out, throw away.',
  'workspace job': 'Commands of a workspace, also after they were started.',
  daemon: 'The engine behind all of this.',
  mcp: 'The tools for agents.',
}

/** A switch that is no field of the contract. */
export interface Switch {
  flag: string
  short?: string
  help: string
}
export interface CommandWords {
  command: string[]
  summary: string
  description: string
  positionals: Pick<FieldDescription, 'field' | 'required' | 'help' | 'choices'>[]
  rest: Pick<FieldDescription, 'field' | 'help'> | null
  flags: FieldDescription[]
  switches: Switch[]
  examples: string[]
}

export const HELP: Switch = { flag: 'help', short: 'h', help: 'say how' }

/** Of one operation. */
export function switchesOf({ name, rest }: OperationDescription): Switch[] {
  return [
    ...(rest === null
      ? []
      : [
          { flag: 'shell', help: 'join the words after -- and run them by /bin/sh -c' },
          { flag: 'stdin', short: 'i', help: 'pass standard input on to the command' },
        ]),
    ...(name === 'workspace_create' ? [{ flag: 'id-only', help: 'print nothing but the id' }] : []),
    { flag: 'json', help: 'print the result as JSON' },
  ]
}

export const SHELLS = ['bash', 'zsh', 'fish'] as const
export type Shell = (typeof SHELLS)[number]

const alone = { positionals: [], rest: null, flags: [], switches: [] }

export const MCP_SERVE: CommandWords = {
  ...alone,
  command: ['mcp', 'serve'],
  summary: 'Serve the tools over standard input and output.',
  description:
    'Speaks MCP on standard input and output, for a host that starts it. Tools act on the engine of this PYRO_HOME.',
  examples: ['mcp serve'],
}
export const COMPLETION: CommandWords = {
  ...alone,
  command: ['completion'],
  summary: 'Print the completion of this command line for a shell.',
  description:
    'The script completes commands and flags by itself. It asks an engine that runs for the names of workspaces, jobs and environments, and never starts one.',
  positionals: [
    { field: 'shell', required: true, help: 'The shell: bash, zsh or fish.', choices: [...SHELLS] },
  ],
  examples: [
    'completion bash > ~/.local/share/bash-completion/completions/pyro',
    'completion zsh > ~/.zfunc/_pyro',
    'completion fish > ~/.config/fish/completions/pyro.fish',
  ],
}

/** In the order of help. */
export function commandWords(operations: OperationDescription[]): CommandWords[] {
  return [
    ...operations.map((operation) => ({ ...operation, switches: switchesOf(operation) })),
    MCP_SERVE,
    COMPLETION,
  ]
}

/** What a flag's value is called. Empty: it takes none. */
export function placeholder({ kind }: Pick<FieldDescription, 'kind'>): string {
  if (kind === 'boolean') return ''
  return kind === 'map' ? 'key=value' : kind === 'command' ? 'shell command' : kind
}

/** What is said of a field beside its help. */
export function noteOf({ kind, help, default: value }: FieldDescription): string {
  const many = kind === 'map' || kind === 'list'
  const plain = value !== undefined && kind !== 'boolean' && !many
  return `${help}${many ? ' Repeatable.' : ''}${plain ? ` Default: ${value}.` : ''}`.trim()
}
