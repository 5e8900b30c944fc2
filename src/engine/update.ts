import { PyroError } from '../contract/errors.ts'
import type { CheckedInputOf } from '../contract/table.ts'
import type { WorkspaceRow } from '../store/workspaces.ts'
import { signOfLife } from './clock.ts'
import type { Engine } from './engine.ts'
import { requireState } from './states.ts'
import { inTurn } from './turn.ts'

const MAX_LABELS = 64

/** Name, labels, lifetimes; one record, so it is old or new. */
export async function updateWorkspace(
  engine: Engine,
  input: CheckedInputOf<'workspace_update'>,
): Promise<WorkspaceRow> {
  return inTurn(engine, input.workspace_id, async (row) => {
    const { id } = row
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
    const change = { name, labels, ...signOfLife(), ...lifetimesOf(row, input) }
    engine.record('update.outcome', () => engine.workspaces.update(id, change))
    engine.lifetimes.look()
    return { ...row, ...change }
  })
}

function lifetimesOf(
  row: WorkspaceRow,
  { ttl_seconds: ttl, clear_ttl, idle_seconds: idle, clear_idle }: CheckedInputOf<'workspace_update'>,
): Pick<WorkspaceRow, 'expires_at' | 'idle_seconds'> {
  return {
    expires_at: clear_ttl ? null : ttl === undefined ? row.expires_at : Date.now() + ttl * 1000,
    idle_seconds: clear_idle ? null : (idle ?? row.idle_seconds),
  }
}
