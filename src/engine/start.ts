/** A stopped workspace gets a new sandbox over the layers that it has. */
import type { CallContext } from '../contract/table.ts'
import { toPyroError } from '../contract/errors.ts'
import type { WorkspaceRow } from '../store/workspaces.ts'
import { bringUp, furnish } from './bringup.ts'
import { signOfLife } from './clock.ts'
import { stop } from './destroy.ts'
import type { Engine } from './engine.ts'
import { asProgress } from './pull.ts'
import { requireSuitableHome } from './home.ts'
import { subject } from './layers.ts'
import { requireState } from './states.ts'

/** Called in the workspace's turn. On any failure, or when the caller goes away, it is stopped as before. */
export async function startWorkspace(
  engine: Engine,
  row: WorkspaceRow,
  { signal, progress }: CallContext,
): Promise<WorkspaceRow> {
  if (row.state === 'running') return row
  requireState(row, 'stopped', 'failed')
  const environment = engine.environments.require(row.environment)
  await requireSuitableHome(engine)
  const layers = engine.backends.layersOf(row)
  const limits = await limitsAgain(engine, row)
  const begun = { state: 'starting', sandbox: null } as const
  engine.record('start.intent', () => engine.workspaces.update(row.id, begun))
  try {
    // Whatever an ended sandbox left, and a machine that reads the disks: two must not have one disk.
    await stop(engine, row)
    signal.throwIfAborted()
    const medium = await layers.restack(subject(row), environment, {
      signal,
      progress: (said) => progress(asProgress(said)),
    })
    signal.throwIfAborted()
    const sandbox = await bringUp(engine, { ...row, limits }, medium, signal, (sandbox) =>
      engine.record('start.started', () => engine.workspaces.update(row.id, { sandbox })),
    )
    await furnish(engine, row, medium, sandbox)
    signal.throwIfAborted()
    const whole = { state: 'running', reason: null, limits, ...signOfLife() } as const
    engine.record('start.outcome', () => engine.workspaces.update(row.id, whole))
    engine.log('workspace.started', { workspace: row.id })
    engine.lifetimes.look()
    return { ...row, sandbox, ...whole }
  } catch (error) {
    engine.log('workspace.start_failed', { workspace: row.id, error: String(error) })
    await undoStart(engine, row, signal.aborted ? 'its start was cancelled' : why(error))
    throw error
  }
}

/** Also what is done with a start that an engine did not live to finish. */
export async function undoStart(
  engine: Engine,
  row: Pick<WorkspaceRow, 'id'>,
  reason = 'its start was interrupted',
): Promise<void> {
  const left = engine.workspaces.find(row.id)
  if (left === undefined) return
  await stop(engine, left)
  const undone = { state: 'stopped', reason, sandbox: null } as const
  engine.record('start.undone', () => engine.workspaces.update(row.id, undone))
}

const why = (error: unknown) => `its start failed: ${toPyroError(error).code}`

/** The same numbers; how they are enforced may have changed with this machine. */
async function limitsAgain(engine: Engine, row: WorkspaceRow): Promise<WorkspaceRow['limits']> {
  const { vcpu_count, mem_mib, pids_limit, disk_mib } = row.limits
  const asked = { vcpu_count, mem_mib, pids_limit, disk_mib: disk_mib ?? undefined }
  return engine.backends.of(row).limits(asked)
}
