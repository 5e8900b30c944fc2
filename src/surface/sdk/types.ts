/** The contract's types as a program sees them: camelCase, maps untouched. Types only: nothing of this is loaded. */
import type { InputOf, OperationName, Operations, OutputOf, Progress } from '../../contract/table.ts'

type Camel<S extends string> = S extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<Camel<Tail>>}`
  : S

/** Keys in camelCase all the way down; a map from any string keeps its keys. */
export type CamelKeys<T> = T extends readonly (infer Item)[]
  ? CamelKeys<Item>[]
  : T extends object
    ? string extends keyof T
      ? T
      : { [K in keyof T as K extends string ? Camel<K> : K]: CamelKeys<T[K]> }
    : T

export interface CallOptions {
  /** Cancels the call. */
  signal?: AbortSignal | undefined
  /** Called with what long work says on the way. */
  onProgress?: ((progress: Progress) => void) | undefined
}

export type Input<N extends OperationName> = CamelKeys<InputOf<N>>
export type Output<N extends OperationName> = CamelKeys<OutputOf<N>>

type Method<N extends OperationName> =
  Record<never, never> extends Input<N>
    ? (input?: Input<N>, options?: CallOptions) => Promise<Output<N>>
    : (input: Input<N>, options?: CallOptions) => Promise<Output<N>>

/** One method for each operation of the contract. */
export type Methods = { [N in OperationName as Operations[N]['sdk']]: Method<N> }

export type StreamName = 'stdout' | 'stderr'
export type Workspace = Output<'workspace_status'>
export type JobStatus = Output<'workspace_job_kill'>

type Followed = 'waitMs' | 'maxOutputBytes' | 'attach' | 'command'
export type ExecOptions = Omit<Input<'workspace_exec'>, Followed | 'workspaceId'> & CallOptions
export type RunOptions = Omit<Input<'run'>, Followed | 'environment'> & CallOptions
