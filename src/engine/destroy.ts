/** Takes away everything a workspace has on this machine: sandbox, mounts, cgroup, socket, files. Repeatable. */
import type { WorkspaceRow } from '../store/workspaces.ts'
import type { Engine } from './engine.ts'
import { subject } from './layers.ts'

export async function destroy(engine: Engine, row: WorkspaceRow): Promise<void> {
  await stop(engine, row)
  await removeFiles(engine, row)
}

/** Ends the sandbox, with its cgroup and its socket. */
export async function stop(engine: Engine, row: WorkspaceRow): Promise<void> {
  await engine.lender.end(row.id)
  engine.guests.drop(row.id)
  await engine.backends.of(row).stop(row.id, row.sandbox)
}

/** Unmounts and removes its layers. */
export async function removeFiles(engine: Engine, row: WorkspaceRow): Promise<void> {
  await engine.lender.end(row.id)
  await engine.backends.layersOf(row).drop(subject(row))
}
