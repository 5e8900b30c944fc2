/**
 * What a new engine does with what the last one left: begun creations and starts are undone, begun stops and deletions
 * finished, running sandboxes adopted. What asks a guest does so in its workspace's turn: one that hangs delays no other.
 */
import type { JobStatus } from '../channel/messages.ts'
import type { WorkspaceRow } from '../store/workspaces.ts'
import { finishDelete } from './delete.ts'
import { destroy } from './destroy.ts'
import type { Engine } from './engine.ts'
import { watchAll } from './jobs.ts'
import { deleteLater } from './run.ts'
import { settle } from './turn.ts'
import { recordEnd } from './watch.ts'
import { noticeEnd } from './workspaces.ts'

/** Queues what has to be done per workspace; operations on the same workspace wait for it. */
export function recover(engine: Engine): Promise<void>[] {
  engine.exports.forgetUnfinished()
  return engine.workspaces.list().map((row) =>
    engine.queues
      .run(row.id, () => recoverOne(engine, row))
      .catch((error) => {
        engine.log('recovery.failed', { workspace: row.id, state: row.state, error: String(error) })
      }),
  )
}

async function recoverOne(engine: Engine, left: WorkspaceRow): Promise<void> {
  await settle(engine, left)
  const row = engine.workspaces.find(left.id) ?? left
  if (row.state === 'creating') {
    await destroy(engine, row)
    engine.record('create.undone', () => engine.workspaces.remove(row.id))
  } else if (row.state === 'deleting') {
    await finishDelete(engine, row)
  } else if (noticeEnd(engine, row).state === 'running') {
    void adopt(engine, row)
  } else if (row.ephemeral) {
    await finishDelete(engine, row)
  } else {
    // What read its disks for the last engine reads them no more.
    await engine.backends.of(row).stop(row.id, row.sandbox)
  }
}

/** Jobs of a sandbox that lived on: ended ones are recorded, unknown ones never began, running ones are watched. */
async function adopt(engine: Engine, row: WorkspaceRow): Promise<void> {
  // Taken before anybody can start a new one: what comes later is not in the guest's answer, and did begin.
  const left = engine.jobs.running(row.id)
  try {
    const known = new Map<string, JobStatus>()
    if (left.length > 0)
      for (const status of await engine.guests.of(row.id).jobs()) known.set(status.id, status)
    for (const job of left) {
      const status = known.get(job.id)
      if (status === undefined) engine.record('adopt.outcome', () => engine.jobs.remove(row.id, job.id))
      else if (status.state === 'exited') recordEnd(engine, job, status)
    }
  } catch (error) {
    engine.log('recovery.guest_silent', { workspace: row.id, error: String(error) })
  }
  watchAll(engine, row.id)
  if (row.ephemeral) deleteLater(engine, row.id)
}
