/** Reading, writing to and ending commands; their history. */
import { join } from 'node:path'
import { PyroError } from '../contract/errors.ts'
import { GuestRefusal } from '../channel/answers.ts'
import type { StreamName } from '../channel/guest.ts'
import type { JobStatus } from '../channel/messages.ts'
import type { CheckedInputOf, OutputOf } from '../contract/table.ts'
import type { OutputRange } from '../layer/store/store.ts'
import type { JobRow } from '../store/jobs.ts'
import type { WorkspaceRow } from '../store/workspaces.ts'
import type { Engine } from './engine.ts'
import { subject } from './layers.ts'
import { requireState } from './states.ts'
import { streamChunk } from './text.ts'
import { execView, jobView, type OutputText } from './view.ts'
import { recordEnd, watchJob } from './watch.ts'
import { requireWorkspace } from './workspaces.ts'

/** Of standard input in one request to the guest. */
const MAX_WRITE = 524_288
/** Of all streams in one answer of logs. */
const MAX_LOGS = 16 * 1_048_576

type Read = CheckedInputOf<'workspace_job_read'>

/** @throws job_not_found */
function requireJob(engine: Engine, workspace: string, id: string): JobRow<JobStatus> {
  const row = engine.jobs.find(workspace, id)
  if (row !== undefined) return row
  throw new PyroError('job_not_found', `Workspace ${workspace} has no job ${JSON.stringify(id)}.`, {
    hint: 'See pyro workspace job list.',
  })
}

export async function readJob(engine: Engine, input: Read): Promise<OutputOf<'workspace_job_read'>> {
  const workspace = requireWorkspace(engine, input.workspace_id)
  try {
    return await readOf(engine, workspace, input)
  } catch (error) {
    const silent = error instanceof PyroError && error.code === 'guest_unreachable'
    if (!silent || !isLive(workspace) || engine.workspaces.find(workspace.id)?.state === 'running')
      throw error
    // Its sandbox was ended while it was asked: what is kept is whole when that is done.
    await engine.queues.run(workspace.id, async () => {})
    return readOf(engine, requireWorkspace(engine, workspace.id), input)
  }
}

/** Whether there is a guest to ask; while commands are being ended, they still speak. */
const isLive = ({ state }: WorkspaceRow) => state === 'running' || state === 'stopping'

async function readOf(
  engine: Engine,
  workspace: WorkspaceRow,
  input: Read,
): Promise<OutputOf<'workspace_job_read'>> {
  const row = requireJob(engine, workspace.id, input.job_id)
  const cursors = { stdout: input.stdout_cursor, stderr: input.stderr_cursor }
  const live = isLive(workspace)
  const status = live && row.state === 'running' ? await ask() : undefined
  const [stdout, stderr] = await Promise.all([part('stdout'), part('stderr')])
  const spool = engine.backends.layersOf(workspace).spool(workspace.id)
  const chunk = (stream: StreamName, read: OutputText) => {
    refuseBeyond(stream, cursors[stream], read.end)
    return input.max_bytes === 0
      ? {
          ...streamChunk(cursors[stream], {
            ...read,
            data: Buffer.alloc(0),
            from: Math.max(cursors[stream], read.from),
          }),
        }
      : streamChunk(cursors[stream], read)
  }
  return {
    ...jobView(engine, row, status),
    stdout: chunk('stdout', stdout),
    stderr: chunk('stderr', stderr),
    spool_path: spool === null ? null : join(spool, row.id),
  }

  async function ask(): Promise<JobStatus> {
    const answer = await engine.guests.of(workspace.id).wait(row.id, input.wait_ms, cursors, input.attach)
    if (answer.state === 'exited') recordEnd(engine, row, answer)
    return answer
  }

  function part(stream: StreamName): Promise<OutputText> | OutputText {
    const at = status?.[stream] ?? (live ? row.status?.[stream] : undefined)
    const cursor = cursors[stream]
    if (at === undefined)
      return kept(engine, workspace, { job: row.id, stream, cursor, max: Math.max(1, input.max_bytes) })
    if (input.max_bytes === 0 || cursor >= at.end)
      return { data: Buffer.alloc(0), from: Math.max(cursor, at.start), end: at.end, eof: at.eof }
    return engine.guests.of(workspace.id).output(row.id, stream, cursor, input.max_bytes)
  }
}

function refuseBeyond(stream: StreamName, cursor: number, end: number): void {
  if (cursor > end)
    throw new PyroError(
      'bad_cursor',
      `The ${stream} cursor ${cursor} is beyond the end of the stream, ${end}.`,
      {
        hint: 'Go on from a cursor that an earlier answer gave.',
      },
    )
}

/** Output as it was kept: what is left when the sandbox is gone. */
async function kept(engine: Engine, workspace: WorkspaceRow, wanted: OutputRange): Promise<OutputText> {
  const none = { data: Buffer.alloc(0), from: wanted.cursor, end: 0, eof: true }
  try {
    const read = await engine.backends.layersOf(workspace).output(subject(workspace), wanted)
    return read === null ? none : { ...read, eof: true }
  } catch (error) {
    if (error instanceof GuestRefusal && error.code === 'job_not_found') return none
    throw error
  }
}

export async function writeJob(engine: Engine, input: CheckedInputOf<'workspace_job_write'>) {
  const workspace = requireWorkspace(engine, input.workspace_id)
  requireState(workspace, 'running')
  const row = requireJob(engine, workspace.id, input.job_id)
  const data = Buffer.from(input.data, input.encoding === 'base64' ? 'base64' : 'utf8')
  const guest = engine.guests.of(workspace.id)
  let written = 0
  // The guest takes what the command reads within ten seconds; a command that reads nothing ends the attempt.
  while (written < data.length) {
    const taken = await guest.write(row.id, data.subarray(written, written + MAX_WRITE), false)
    if (taken === 0) break
    written += taken
  }
  if (input.eof && written === data.length) await guest.write(row.id, Buffer.alloc(0), true)
  return { workspace_id: workspace.id, job_id: row.id, written }
}

export async function killJob(engine: Engine, input: CheckedInputOf<'workspace_job_kill'>) {
  const workspace = requireWorkspace(engine, input.workspace_id)
  requireState(workspace, 'running')
  const row = requireJob(engine, workspace.id, input.job_id)
  const guest = engine.guests.of(workspace.id)
  const { signal } = input
  const status = await (signal ? guest.signal(row.id, signal) : guest.kill(row.id, input.grace_ms))
  if (status.state === 'exited') recordEnd(engine, row, status)
  return jobView(engine, row, status)
}

export function listJobs(
  engine: Engine,
  input: CheckedInputOf<'workspace_job_list'>,
): OutputOf<'workspace_job_list'> {
  const { id } = requireWorkspace(engine, input.workspace_id)
  const rows = input.running
    ? engine.jobs.running(id).slice(0, input.limit)
    : engine.jobs.list(id, input.limit)
  return { workspace_id: id, jobs: rows.map((row) => jobView(engine, row)) }
}

/** The last commands in order, each with the end of its output. */
export async function logs(
  engine: Engine,
  input: CheckedInputOf<'workspace_logs'>,
): Promise<OutputOf<'workspace_logs'>> {
  const workspace = requireWorkspace(engine, input.workspace_id)
  const { id } = workspace
  const rows = engine.jobs.list(id, input.limit).reverse()
  const most = Math.min(input.max_output_bytes, Math.floor(MAX_LOGS / Math.max(1, 2 * rows.length)))
  const tail = async (job: string, stream: StreamName): Promise<OutputText> => {
    try {
      const { end } = await kept(engine, workspace, { job, stream, cursor: 0, max: 1 })
      const cursor = Math.max(0, end - most)
      const read = await kept(engine, workspace, { job, stream, cursor, max: Math.max(1, most) })
      return { ...read, end: read.from + read.data.length }
    } catch (error) {
      // A sandbox that spoilt the file of one command keeps the history of the others.
      engine.log('logs.unreadable', { workspace: id, job, stream, error: String(error) })
      return { data: Buffer.alloc(0), from: 0, end: 0, eof: true }
    }
  }
  const entries = rows.map(async (row) =>
    execView(jobView(engine, row), await tail(row.id, 'stdout'), await tail(row.id, 'stderr')),
  )
  return { workspace_id: id, entries: await Promise.all(entries) }
}

/** Whether a reader at these cursors has everything a job will ever say. */
export function readToEnd(read: OutputOf<'workspace_job_read'>): boolean {
  return read.state !== 'running' && [read.stdout, read.stderr].every(({ cursor, end }) => cursor >= end)
}

/** Runs on for every job that a new engine finds running. */
export function watchAll(engine: Engine, workspace: string): void {
  for (const row of engine.jobs.running(workspace)) void watchJob(engine, row)
}
