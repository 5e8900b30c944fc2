/** A command that runs, as a live object. What it says is fetched while somebody reads; it waits for a slow reader. */
import { PyroError } from '../../contract/errors.ts'
import type { OutputOf } from '../../contract/table.ts'
import type { Client } from './client.ts'
import { camelKeys } from './names.ts'
import { StreamReader } from './stream.ts'
import type { CallOptions, Input, JobStatus, StreamName } from './types.ts'

const WAIT_MS = 20_000
/** Of each stream in an answer: a first look, and when there is no file that can be read directly. */
const FIRST_BYTES = 65_536
const MANY_BYTES = 1_048_576
/** Taken from a file before the writer is told: not often, and never more than a quarter of what it keeps. */
const ACKNOWLEDGE_BYTES = 8 * 1_048_576
/** A reader that caught up with a writer in its stride looks at the file again before it bothers the engine. */
const GLANCE_MS = 1
const LULL_MS = 25
/** A reader counts as gone 10 seconds after it was last heard of. */
const ALIVE_MS = 4000
const PAUSE_MS = 5
const MAX_PAUSE_MS = 250

export interface JobOptions {
  client: Client
  workspaceId: string
  jobId: string
  /** What the call that started it said. */
  started?: OutputOf<'workspace_exec'> | undefined
  signal?: AbortSignal | undefined
  /** Hand out each block in memory of its own. Default: true. Without, a block is valid until the next is asked for. */
  copy?: boolean | undefined
}

export interface OutputPart {
  stream: StreamName
  data: Uint8Array
}

export class Job implements Disposable {
  readonly workspaceId: string
  readonly jobId: string
  #client: Client
  #signal: AbortSignal | undefined
  #streams: Record<StreamName, StreamReader>
  #status: JobStatus | undefined
  #polling: Promise<void> | undefined
  #result: Promise<JobStatus> | undefined
  #fruitless = 0
  #acknowledged = 0
  #alive: NodeJS.Timeout | undefined

  constructor({ client, workspaceId, jobId, started, signal, copy = true }: JobOptions) {
    this.workspaceId = workspaceId
    this.jobId = jobId
    this.#client = client
    this.#signal = signal
    this.#streams = { stdout: new StreamReader('stdout', copy), stderr: new StreamReader('stderr', copy) }
    if (started === undefined || started.state === 'running') return
    // Over and silent: its workspace may be gone already, so there is nobody to ask.
    if (!started.stdout_stream.eof || !started.stderr_stream.eof) return
    this.#status = statusOf(started)
    for (const stream of Object.values(this.#streams)) stream.end()
  }

  /** Standard output from its start, in order, whole as long as it is read. Can be read once. */
  get stdout(): AsyncIterable<Uint8Array> {
    return this.#only('stdout')
  }
  get stderr(): AsyncIterable<Uint8Array> {
    return this.#only('stderr')
  }
  /** Both streams as they come. */
  output(): AsyncIterable<OutputPart> {
    return this.#read(['stdout', 'stderr'])
  }
  /** Bytes of each stream that nobody read in time and that are gone. */
  get dropped(): Record<StreamName, number> {
    return { stdout: this.#streams.stdout.dropped, stderr: this.#streams.stderr.dropped }
  }

  /** How the command ended. Streams that nobody reads do not hold it up: their oldest bytes are let go. */
  get result(): Promise<JobStatus> {
    this.#result ??= this.#untilEnded()
    return this.#result
  }

  async write(
    data: Uint8Array | string,
    { eof = false, ...options }: { eof?: boolean } & CallOptions = {},
  ): Promise<void> {
    const text = typeof data === 'string'
    const input = { ...this.#id, data: text ? data : Buffer.from(data).toString('base64'), eof }
    await this.#client.call('workspace_job_write', { ...input, encoding: text ? 'utf-8' : 'base64' }, options)
  }

  /** Ends the whole process tree, or sends one signal to the command's process group. */
  async kill(
    how: Omit<Input<'workspace_job_kill'>, 'workspaceId' | 'jobId'> = {},
    options?: CallOptions,
  ): Promise<JobStatus> {
    const input = {
      ...this.#id,
      ...(how.signal === undefined ? {} : { signal: how.signal }),
      ...(how.graceMs === undefined ? {} : { grace_ms: how.graceMs }),
    }
    return camelKeys(await this.#client.call('workspace_job_kill', input, options)) as JobStatus
  }

  /** Stops reading. The command goes on. */
  [Symbol.dispose](): void {
    clearInterval(this.#alive)
    for (const stream of Object.values(this.#streams)) stream.close()
  }

  get #id() {
    return { workspace_id: this.workspaceId, job_id: this.jobId }
  }

  async *#only(name: StreamName): AsyncGenerator<Uint8Array> {
    for await (const { data } of this.#read([name])) yield data
  }

  async *#read(names: StreamName[]): AsyncGenerator<OutputPart> {
    const streams = names.map((name) => this.#streams[name])
    for (const stream of streams) {
      if (stream.reading || stream.cursor > 0)
        throw new TypeError(`${stream.name} of ${this.jobId} is already being read`)
      stream.reading = true
    }
    this.#alive ??= setInterval(() => this.#acknowledge(0), ALIVE_MS).unref()
    let lull = 0
    try {
      while (!streams.every(({ finished }) => finished)) {
        let taken = 0
        for (const stream of streams) {
          const data = stream.take()
          if (data === undefined) continue
          taken += data.length
          yield { stream: stream.name, data }
        }
        const direct = streams.some((stream) => stream.direct)
        if (taken > 0) lull = direct ? performance.now() + LULL_MS : 0
        if (direct && taken > 0) await this.#next()
        else if (performance.now() < lull) await pause(GLANCE_MS)
        else if (taken === 0) await this.#poll()
      }
    } finally {
      for (const stream of streams) stream.close()
      if (!Object.values(this.#streams).some(({ reading }) => reading)) {
        clearInterval(this.#alive)
        this.#alive = undefined
      }
    }
  }

  /** Between two blocks from a file other work has its turn, and the writer hears how far the reader is. */
  #next(): Promise<void> {
    const { stdout, stderr } = this.#streams
    this.#acknowledge(Math.min(ACKNOWLEDGE_BYTES, stdout.kept / 4, stderr.kept / 4))
    return new Promise((resolve) => setImmediate(resolve))
  }

  #acknowledge(after: number): void {
    const taken = this.#streams.stdout.cursor + this.#streams.stderr.cursor
    if (this.#polling !== undefined || taken - this.#acknowledged < after) return
    // What fails here fails again, and is reported, when a reader waits.
    this.#polling = this.#ask(0)
      .then(
        () => {},
        () => {},
      )
      .finally(() => (this.#polling = undefined))
  }

  async #untilEnded(): Promise<JobStatus> {
    while (this.#status === undefined || this.#status.state === 'running') await this.#poll()
    return this.#status
  }

  /** One question at a time, whoever waits for its answer. */
  #poll(): Promise<void> {
    this.#polling ??= this.#pollOnce().finally(() => (this.#polling = undefined))
    return this.#polling
  }

  async #pollOnce(): Promise<void> {
    // What is there already would be answered at once, again and again, while its reader is busy or nobody reads.
    if (this.#fruitless > 0) await pause(Math.min(MAX_PAUSE_MS, PAUSE_MS * 2 ** this.#fruitless))
    const before = performance.now()
    const news = await this.#ask(WAIT_MS)
    const idle = performance.now() - before > 1000
    this.#fruitless = news || idle ? 0 : this.#fruitless + 1
  }

  async #ask(wait: number): Promise<boolean> {
    if (this.#signal?.aborted)
      throw new PyroError('cancelled', 'Reading was cancelled.', { cause: this.#signal.reason })
    const { stdout, stderr } = this.#streams
    const asked = { stdout: stdout.acknowledged, stderr: stderr.acknowledged }
    const readers = [stdout, stderr].filter(({ reading }) => reading)
    this.#acknowledged = stdout.cursor + stderr.cursor
    const answer = await this.#client.call(
      'workspace_job_read',
      {
        ...this.#id,
        stdout_cursor: asked.stdout,
        stderr_cursor: asked.stderr,
        max_bytes:
          wait === 0 || readers.every(({ direct }) => direct)
            ? 0
            : this.#acknowledged === 0
              ? FIRST_BYTES
              : MANY_BYTES,
        wait_ms: wait,
        attach: true,
      },
      { signal: this.#signal },
    )
    const ended = this.#status?.state !== answer.state
    this.#status = statusOf(answer)
    const news = [stdout, stderr].map((stream) =>
      stream.update(answer[stream.name], asked[stream.name], this.#client.remote ? null : answer.spool_path),
    )
    // Nobody reads: output alone is no reason to ask again at once.
    return readers.length > 0 ? ended || news.some(Boolean) : ended
  }
}

/** Of what the engine said, the command itself. */
function statusOf(answer: OutputOf<'workspace_job_read'> | OutputOf<'workspace_exec'>): JobStatus {
  const output = new Set(['stdout', 'stderr', 'stdout_stream', 'stderr_stream', 'spool_path'])
  return camelKeys(
    Object.fromEntries(Object.entries(answer).filter(([field]) => !output.has(field))),
  ) as JobStatus
}

const pause = (ms: number) => new Promise<void>((resolve) => setTimeout(resolve, ms))
