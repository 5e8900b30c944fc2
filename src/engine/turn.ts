/** One change of a workspace at a time. What an earlier one could not bring to its end is brought there first. */
import type { WorkspaceRow } from '../store/workspaces.ts'
import type { Engine } from './engine.ts'
import { undoStart } from './start.ts'
import { finishStop } from './stop.ts'
import { requireWorkspace } from './workspaces.ts'

/** Waits for the workspace's turn, and gives the workspace as it is then. @throws workspace_not_found */
export function inTurn<T>(
  engine: Engine,
  ref: string,
  change: (row: WorkspaceRow) => Promise<T>,
): Promise<T> {
  const { id } = requireWorkspace(engine, ref)
  return engine.queues.run(id, async () => {
    await settle(engine, requireWorkspace(engine, id))
    return change(requireWorkspace(engine, id))
  })
}

/** In the workspace's turn nobody is at work on it: a state that says otherwise was left behind. */
export async function settle(engine: Engine, row: WorkspaceRow): Promise<void> {
  if (row.state === 'stopping') await finishStop(engine, row)
  if (row.state === 'starting') await undoStart(engine, row)
}
