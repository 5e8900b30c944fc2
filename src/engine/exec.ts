/** A command runs in a workspace: recorded, handed to the guest, answered when it ends or the caller's wait does. */
import { PyroError } from '../contract/errors.ts'
import type { ExecResult } from '../contract/fields.ts'
import type { CheckedInputOf } from '../contract/table.ts'
import { GuestRefusal } from '../channel/answers.ts'
import type { JobSpec, JobStatus } from '../channel/messages.ts'
import type { JobRow } from '../store/jobs.ts'
import { signOfLife } from './clock.ts'
import type { Engine } from './engine.ts'
import { requireState } from './states.ts'
import { execView, jobView, type OutputText } from './view.ts'
import { recordEnd, watchJob } from './watch.ts'
import { requireWorkspace } from './workspaces.ts'

type Input = CheckedInputOf<'workspace_exec'>

/** Does not hold the workspace's queue: commands run beside each other and beside state changes. */
export async function exec(engine: Engine, input: Input): Promise<ExecResult> {
  const workspace = requireWorkspace(engine, input.workspace_id)
  requireState(workspace, 'running')
  const row = engine.record('exec.intent', () => insertJob(engine, workspace.id, input))
  let status: JobStatus
  try {
    const guest = engine.guests.of(workspace.id)
    status = await guest.start(jobSpec(row, input), input.wait_ms, input.max_output_bytes)
  } catch (error) {
    throw await failed(engine, row, error)
  }
  if (status.state === 'exited') recordEnd(engine, row, status)
  else void watchJob(engine, row)
  return execView(jobView(engine, row, status), inline(status, 'stdout'), inline(status, 'stderr'))
}

function insertJob(engine: Engine, workspace: string, input: Input): JobRow<JobStatus> {
  const sequence = engine.jobs.nextSequence(workspace)
  const { command, cwd } = input
  const now = signOfLife()
  const row = {
    workspace_id: workspace,
    sequence,
    id: `job-${sequence}`,
    command,
    cwd,
    state: 'running' as const,
    started_at: now.activity_at,
  }
  engine.jobs.insert(row)
  engine.workspaces.touch(workspace, now)
  return { ...row, status: null }
}

function jobSpec(row: JobRow<JobStatus>, input: Input): JobSpec {
  return {
    id: row.id,
    argv: typeof input.command === 'string' ? ['/bin/sh', '-c', input.command] : input.command,
    cwd: input.cwd,
    env: input.env,
    user: input.user,
    timeout_ms: Math.round((input.timeout_seconds ?? 0) * 1000),
    stdin: input.stdin_open || input.stdin !== undefined ? 'pipe' : 'none',
    ...(input.stdin === undefined ? {} : { stdin_data: Buffer.from(input.stdin).toString('base64') }),
    stdin_open: input.stdin_open,
    spool_bytes: input.spool_bytes,
    attach: input.attach,
  }
}

/**
 * A command the guest refused never ran, and leaves no trace. Where the guest did not answer nobody knows: the job stays
 * recorded as running, and the watcher finds out.
 */
async function failed(engine: Engine, row: JobRow<JobStatus>, error: unknown): Promise<unknown> {
  const unknown =
    error instanceof PyroError && error.code === 'guest_unreachable' && !(error instanceof GuestRefusal)
  if (unknown) {
    void watchJob(engine, row)
    return endedMeanwhile(engine, row) ?? error
  }
  engine.record('exec.undone', () => engine.jobs.remove(row.workspace_id, row.id))
  return error
}

function endedMeanwhile(engine: Engine, { workspace_id: id }: JobRow<JobStatus>): PyroError | undefined {
  const state = engine.workspaces.find(id)?.state ?? 'deleted'
  if (state === 'running') return undefined
  return new PyroError('wrong_state', `Workspace ${id} was ended while the command ran; it is ${state}.`)
}

function inline(status: JobStatus, stream: 'stdout' | 'stderr'): OutputText {
  const { start, end, eof } = status[stream]
  const text = status.inline?.[stream]
  return { data: text ? Buffer.from(text, 'base64') : Buffer.alloc(0), from: text ? start : 0, end, eof }
}
