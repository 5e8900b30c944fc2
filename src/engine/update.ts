import { PyroError } from '../contract/errors.ts'
import type { CheckedInputOf } from '../contract/table.ts'
import type { WorkspaceRow } from '../store/workspaces.ts'
import type { Engine } from './engine.ts'
import { requireState } from './states.ts'
import { requireWorkspace } from './workspaces.ts'

const MAX_LABELS = 64

/** Names and labels; one record, so it is old or new. */
export async function updateWorkspace(
  engine: Engine,
  input: CheckedInputOf<'workspace_update'>,
): Promise<WorkspaceRow> {
  const { id } = requireWorkspace(engine, input.workspace_id)
  return engine.queues.run(id, async () => {
    const row = requireWorkspace(engine, id)
    requireState(row, 'running', 'stopped', 'failed')
    const name = input.name ?? row.name
    const holder = name === null ? undefined : engine.workspaces.find(name)
    if (holder !== undefined && holder.id !== id)
      throw new PyroError('name_taken', `There is already a workspace named ${JSON.stringify(name)}.`, {
        hint: 'Choose another name.',
      })
    const kept = Object.entries(row.labels).filter(([key]) => !input.clear_labels.includes(key))
    const labels = { ...Object.fromEntries(kept), ...input.labels }
    if (Object.keys(labels).length > MAX_LABELS)
      throw new PyroError('invalid_input', `labels: a workspace has ${MAX_LABELS} at most.`)
    const change = { name, labels, activity_at: Date.now() }
    engine.record('update.outcome', () => engine.workspaces.update(id, change))
    return { ...row, ...change }
  })
}
