/** A workspace and its sandbox, as its layer store is told of them. */
import type { Backend } from '../backend/backend.ts'
import type { Recorded, Running, Subject } from '../layer/store/store.ts'
import type { SandboxRecord, WorkspaceRow } from '../store/workspaces.ts'
import type { Engine } from './engine.ts'
import { recordSandboxEnd } from './workspaces.ts'

export const subject = ({ id, slot, seed }: WorkspaceRow): Subject => ({
  id,
  slot,
  seeded: seed.origin_kind !== 'empty',
})

export function running({ attach }: Backend, sandbox: SandboxRecord): Running {
  return { attach: attach && ((source, target) => attach(sandbox, source, target)) }
}

/** Afterwards the workspace's files can be read, whatever became of its sandbox. */
export async function openLayers(engine: Engine, row: WorkspaceRow): Promise<void> {
  const recorded: Recorded = {
    holder: row.sandbox?.holder,
    async end() {
      await engine.backends.of(row).stop(row.id, row.sandbox)
      recordSandboxEnd(engine, row, 'failed', 'the holder of its mounts was ended')
    },
  }
  await engine.backends.layersOf(row).open(subject(row), row.state === 'running' ? recorded : null)
}
