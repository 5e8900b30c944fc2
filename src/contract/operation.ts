import type { z } from 'zod'
import type { ErrorCode } from './errors.ts'

/** What an operation does to the world; MCP annotations and the documents come from it. */
export interface Effects {
  readOnly: boolean
  destructive: boolean
  idempotent: boolean
}

/** How a command line spells the input. Fields that are not named here become `--field-name` flags. */
export interface CliForm {
  /** Input fields that are positional arguments, in order. */
  positionals?: string[]
  /** The field that takes everything after `--`. */
  rest?: string
  /** Fields whose flag has another name, e.g. `labels: 'label'` for a repeatable `--label K=V`. */
  flags?: Record<string, string>
  /** Fields that a command line does not offer. */
  hidden?: string[]
  /** Examples for `--help`, without the leading `pyro`. */
  examples: string[]
}

export interface Operation<
  I extends z.ZodObject = z.ZodObject,
  O extends z.ZodObject = z.ZodObject,
  N extends string = string,
  S extends string = string,
> {
  /** Snake case, unique: the HTTP path is `/v1/<name>`. */
  name: N
  /** Words of the command line, e.g. `['workspace', 'exec']`. */
  command: string[]
  /** Method of the SDK's client. */
  sdk: S
  /** Name of the MCP tool, or null where an agent has no use for it. */
  tool: string | null
  /** One line for lists. */
  summary: string
  /** A paragraph: what it does, what it costs, what it leaves. */
  description: string
  input: I
  output: O
  effects: Effects
  /** Answered over the unix socket alone: whoever asks over HTTP gets local_only. Default: false. */
  localOnly?: true
  /** Codes beyond `invalid_input`, `engine_*` and `internal`, which any operation can give. */
  errors: ErrorCode[]
  cli: CliForm
}

/** Identity with inference: keeps each operation's own input and output types. */
export function operation<
  I extends z.ZodObject,
  O extends z.ZodObject,
  const N extends string,
  const S extends string,
>(definition: Operation<I, O, N, S>): Operation<I, O, N, S> {
  return definition
}
