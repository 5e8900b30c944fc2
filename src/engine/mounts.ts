/** Mounts of a workspace whose sandbox is gone: made again, so that its files can be taken out. */
import { PyroError } from '../contract/errors.ts'
import { sandboxOwner } from '../hand/index.ts'
import { identity, layerPaths, mountWorkspace, stagePaths } from '../layer/stack.ts'
import type { WorkspaceRow } from '../store/workspaces.ts'
import type { Engine } from './engine.ts'
import { recordSandboxEnd } from './workspaces.ts'

/** Afterwards the workspace's /workspace is mounted in the present holder's namespace. */
export async function ensureMounted(engine: Engine, row: WorkspaceRow): Promise<void> {
  const info = await engine.hand.info()
  if (row.state === 'running') {
    if (row.sandbox?.holder === (await engine.hand.holderId())) return
    await endOrphan(engine, row)
  }
  const who = identity(info.mode, row.slot, sandboxOwner(info).size)
  const { workspace } = stagePaths(info.stage, row.id)
  try {
    await mountWorkspace(
      engine.hand.call,
      layerPaths(engine.home, row.id),
      workspace,
      row.seed.origin_kind !== 'empty',
      who,
    )
  } catch (error) {
    const already =
      error instanceof PyroError && (error.cause as { code?: string } | undefined)?.code === 'already_mounted'
    if (!already) throw error
  }
}

/**
 * A holder that was lost took its mounts along, while the sandbox keeps its own of the same layers. The kernel would
 * let both write to one upper layer, so the sandbox has to end before the layers are mounted again.
 */
async function endOrphan(engine: Engine, row: WorkspaceRow): Promise<void> {
  await engine.backend.stop(row.id, row.sandbox)
  recordSandboxEnd(engine, row, 'failed', 'the holder of its mounts was ended')
}
