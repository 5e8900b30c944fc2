/** `exec` and `run`: a command's output as it comes, its exit status as ours, Ctrl-C for it and not for us. */
import { constants } from 'node:os'
import { PyroError } from '../../contract/errors.ts'
import type { OutputOf } from '../../contract/table.ts'
import { type Client, client } from '../sdk/client.ts'
import { Job } from '../sdk/job.ts'
import { snakeKeys } from '../sdk/names.ts'
import type { JobStatus } from '../sdk/types.ts'
import { note, ReaderGone, writeLater } from './print.ts'
import type { Invocation } from './program.ts'
import { progressLine } from './progress.ts'
import { fields, tagOf } from './render.ts'
import { interrupts } from './interrupts.ts'
import { inputText, pipeStdin } from './stdin.ts'

const TIMED_OUT = 124

type Started = OutputOf<'workspace_exec'> & Partial<Pick<OutputOf<'run'>, 'environment' | 'deleted'>>

export async function runCommand(invocation: Invocation): Promise<number> {
  const engine = client()
  const ephemeral = invocation.operation.name === 'run'
  const stops = interrupts({ engine, ephemeral })
  const started = await start(engine, invocation, stops.signal)
  const { workspace_id, job_id } = started
  const job = new Job({ client: engine, workspaceId: workspace_id, jobId: job_id, started })
  stops.watch(job)
  try {
    if (invocation.flags.stdin && !ephemeral) pipeStdin(job)
    const status = invocation.flags.json
      ? await showJson(engine, started, job)
      : await stream(invocation, job)
    return exitOf(status)
  } catch (error) {
    // As in a pipeline: what writes to nobody ends.
    if (error instanceof ReaderGone) await job.kill({ graceMs: 1000 }).catch(() => {})
    throw error
  } finally {
    if (ephemeral && started.deleted !== true) await deleteQuietly(engine, workspace_id)
  }
}

async function start(
  engine: Client,
  { operation, input, flags }: Invocation,
  signal: AbortSignal,
): Promise<Started> {
  const progress = progressLine({ operation, quiet: flags.json })
  const given = { ...input, wait_ms: 0, max_output_bytes: 0, attach: true } as Record<string, unknown>
  if (flags.stdin && operation.name === 'run') given['stdin'] = inputText()
  if (flags.stdin && operation.name !== 'run') given['stdin_open'] = true
  try {
    return await engine.call(operation.name as 'workspace_exec', given as never, {
      signal,
      onProgress: progress?.show,
    })
  } finally {
    progress?.clear()
  }
}

async function stream({ operation }: Invocation, job: Job): Promise<JobStatus> {
  for await (const { stream, data } of job.output()) await writeLater(stream === 'stdout' ? 1 : 2, data)
  const status = await job.result
  const lost = Object.entries(job.dropped).filter(([, bytes]) => bytes > 0)
  for (const [name, bytes] of lost) note(`warning: ${bytes} bytes of ${name} were no longer kept`)
  note(summary(operation, status))
  return status
}

const SUMMARY = ['workspace_id', 'job_id', 'sequence', 'cwd', 'execution_mode', 'exit_code', 'duration_ms']

function summary(operation: Invocation['operation'], status: JobStatus): string {
  const all = snakeKeys(status) as Record<string, unknown>
  const told = Object.fromEntries(SUMMARY.map((field) => [field, all[field]]))
  const more: Record<string, unknown> = {
    ...(status.state === 'lost' ? { state: status.state } : {}),
    ...(status.signal === null ? {} : { signal: status.signal }),
    ...(status.timedOut ? { timed_out: true } : {}),
    ...(status.survivors > 0 ? { survivors: status.survivors } : {}),
  }
  return fields(tagOf(operation), { ...told, ...more })
}

/** The whole result in the operation's own form, with as much output as an answer may hold. */
async function showJson(engine: Client, started: Started, job: Job): Promise<JobStatus> {
  const { jsonResult } = await import('./json.ts')
  return await jsonResult(engine, started, job)
}

function exitOf(status: JobStatus): number {
  if (status.state === 'lost') {
    throw new PyroError('guest_unreachable', 'The sandbox ended before the result of the command was known.')
  }
  if (status.timedOut) return TIMED_OUT
  const number = status.signal === null ? undefined : constants.signals[status.signal as NodeJS.Signals]
  return number === undefined ? (status.exitCode ?? 1) : 128 + number
}

async function deleteQuietly(engine: Client, workspace_id: string): Promise<void> {
  try {
    await engine.call('workspace_delete', { workspace_id })
  } catch (error) {
    if (!(error instanceof PyroError) || !['workspace_not_found', 'wrong_state'].includes(error.code))
      throw error
  }
}
