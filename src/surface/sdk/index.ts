/** The SDK: a method for each operation of the contract, and commands as live objects. */
import type { OperationName, OutputOf } from '../../contract/table.ts'
import { type Client, type ClientOptions, client } from './client.ts'
import { Job, type JobOptions } from './job.ts'
import { METHODS, camelKeys, snakeKeys } from './names.ts'
import type { CallOptions, ExecOptions, Methods, RunOptions } from './types.ts'

export { PyroError } from '../../contract/errors.ts'
export type { ErrorCode } from '../../contract/errors.ts'
export type { Progress } from '../../contract/table.ts'
export { Job, type OutputPart } from './job.ts'
export { VERSION } from './version.ts'
export type * from './types.ts'

export interface ConnectOptions extends ClientOptions {
  signal?: AbortSignal
}
/** `copy: false` hands out blocks that are valid until the next is asked for, which is faster. */
type Reading = Pick<JobOptions, 'copy'>

/** What a method of the contract's is at run time; its type is in `Methods`. */
const Base = class {
  readonly client: Client
  constructor(client: Client) {
    this.client = client
  }
} as unknown as new (
  client: Client,
) => Methods & { readonly client: Client }

export class Pyro extends Base {
  /**
   * Connects to the engine of a PYRO_HOME and starts it when it is not there; with a URL to the engine that listens there,
   * whose machine all paths are of. @throws PyroError
   */
  static async connect({ signal, ...options }: ConnectOptions = {}): Promise<Pyro> {
    const opened = client(options)
    await opened.ready(signal)
    return new Pyro(opened)
  }

  /** Runs a command in a workspace. `signal` ends the reading, not the command: see `kill`. */
  async exec(
    workspace: string,
    command: string | string[],
    options: ExecOptions & Reading = {},
  ): Promise<Job> {
    const { copy, signal, onProgress, ...fields } = options
    const input = snakeKeys({ ...fields, workspaceId: workspace, command, ...FOLLOWED }) as never
    const started = await this.client.call('workspace_exec', input, { signal, onProgress })
    return this.#follow(started, { signal, copy })
  }

  /**
   * Runs a command in a workspace of its own, which is deleted once the command has ended and its output was read to the
   * end. Read both streams at the same time, as `output()` does: what is not read goes with the workspace.
   */
  async run(
    environment: string,
    command: string | string[],
    options: RunOptions & Reading = {},
  ): Promise<Job> {
    const { copy, signal, onProgress, ...fields } = options
    const input = snakeKeys({ ...fields, environment, command, ...FOLLOWED }) as never
    const started = await this.client.call('run', input, { signal, onProgress })
    return this.#follow(started, { signal, copy })
  }

  #follow(started: OutputOf<'workspace_exec'>, reading: Pick<JobOptions, 'signal' | 'copy'>): Job {
    const { workspace_id: workspaceId, job_id: jobId } = started
    return new Job({ client: this.client, workspaceId, jobId, started, ...reading })
  }

  /** A command that was started before, to be read from its start. */
  attach(workspaceId: string, jobId: string, options: Pick<JobOptions, 'copy' | 'signal'> = {}): Job {
    return new Job({ client: this.client, workspaceId, jobId, ...options })
  }

  /** Closes the connections. The engine and what runs in workspaces go on. */
  close(): void {
    this.client.close()
  }
  [Symbol.dispose](): void {
    this.close()
  }
}

/** A command that is followed: its output is read from the stream, byte for byte, from the first on. */
const FOLLOWED = { waitMs: 0, maxOutputBytes: 0, attach: true }

for (const [method, name] of Object.entries(METHODS) as [string, OperationName][]) {
  Object.defineProperty(Pyro.prototype, method, {
    async value(this: Pyro, input: unknown = {}, options?: CallOptions) {
      return camelKeys(await this.client.call(name, snakeKeys(input) as never, options))
    },
  })
}
