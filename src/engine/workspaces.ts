/** Finding a workspace, and noticing that its sandbox ended. */
import { PyroError } from '../contract/errors.ts'
import type { SandboxRecord, WorkspaceRow } from '../store/workspaces.ts'
import { bootId } from '../backend/process.ts'
import { type Engine, iso } from './engine.ts'
import { mayBecome } from './states.ts'

/** @throws workspace_not_found */
export function requireWorkspace(engine: Engine, ref: string): WorkspaceRow {
  const row = engine.workspaces.find(ref)
  if (row === undefined) throw notFound(engine, ref)
  return noticeEnd(engine, row)
}

function notFound(engine: Engine, ref: string): PyroError {
  const expired = engine.expired.find(ref)
  if (expired === undefined)
    return new PyroError('workspace_not_found', `There is no workspace ${JSON.stringify(ref)}.`, {
      hint: 'See pyro workspace list.',
    })
  return new PyroError(
    'workspace_not_found',
    `The time of workspace ${JSON.stringify(ref)} ran out: it was deleted at ${iso(expired.expired_at)}.`,
    { hint: 'What of it was never exported: pyro workspace list --expired.' },
  )
}

/**
 * Compares what is recorded with what runs, which costs one read of /proc. A sandbox that is gone leaves a workspace
 * whose files and logs are still there.
 */
export function noticeEnd(engine: Engine, row: WorkspaceRow): WorkspaceRow {
  if (row.state !== 'running' || (row.sandbox !== null && engine.backends.of(row).find(row.sandbox)))
    return row
  const [state, reason] = endOf(row.sandbox)
  return recordSandboxEnd(engine, row, state, reason)
}

/** One record for the workspace and every job that its end ended. */
export function recordSandboxEnd(
  engine: Engine,
  row: WorkspaceRow,
  state: 'stopped' | 'failed',
  reason: string,
): WorkspaceRow {
  if (!mayBecome(row.state, state)) return row
  engine.log('workspace.ended', { workspace: row.id, state, reason })
  try {
    engine.record('end.outcome', () => {
      engine.workspaces.update(row.id, { state, reason })
      endJobs(engine, row.id)
    })
  } catch (error) {
    // It is true without the record, and whoever looks next writes it.
    engine.log('workspace.end_unrecorded', { workspace: row.id, error: String(error) })
  }
  engine.guests.drop(row.id)
  return { ...row, state, reason }
}

/** What ran in a sandbox that is gone, and of which nobody told how it ended. Part of a record. */
export function endJobs(engine: Engine, id: string): void {
  for (const job of engine.jobs.running(id)) engine.jobs.end(id, job.id, 'lost', null)
}

function endOf(sandbox: SandboxRecord | null): ['stopped' | 'failed', string] {
  if (sandbox !== null && sandbox.boot_id !== bootId()) return ['stopped', 'host restarted']
  return ['failed', 'its sandbox ended unexpectedly']
}
