/** A sandbox comes up over the layers of a workspace: the same way for a new one and for one that starts again. */
import type { SandboxSpec } from '../backend/backend.ts'
import { layerPaths } from '../layer/stack.ts'
import type { SandboxRecord, WorkspaceRow } from '../store/workspaces.ts'
import { aborted } from './both.ts'
import type { Engine } from './engine.ts'
import { call, introduce } from './greet.ts'
import { running, subject } from './layers.ts'

type Medium = SandboxSpec['medium']

/**
 * Starts the sandbox and, where it is a machine, tells it who it is. `started` records it as soon as it is there: whatever
 * comes then, somebody knows what to end.
 */
export async function bringUp(
  engine: Engine,
  row: WorkspaceRow,
  medium: Medium,
  signal: AbortSignal,
  started: (sandbox: SandboxRecord) => void,
): Promise<SandboxRecord> {
  const backend = engine.backends.of(row)
  const { id, hostname, limits } = row
  const { dir } = layerPaths(engine.home, id)
  const sandbox = await backend.start({
    id,
    hostname,
    dir,
    limits,
    medium,
    onReachable: () => call(engine, id),
  })
  started(sandbox)
  // A machine that is not wanted any more ends when it is undone, and not when it has booted.
  if (backend.medium === 'disk') await Promise.race([introduce(engine, id, hostname), aborted(signal)])
  return sandbox
}

/**
 * What a sandbox is given once it is up and its layers are whole, in this order, before its workspace is called running.
 * Whatever a workspace has to have anew with each sandbox belongs here.
 */
export async function furnish(
  engine: Engine,
  row: WorkspaceRow,
  medium: Medium,
  sandbox: SandboxRecord,
): Promise<void> {
  const hasWorkspace = medium.kind === 'directory' && medium.workspace !== null
  if (!hasWorkspace)
    await engine.backends.layersOf(row).attach(subject(row), running(engine.backends.of(row), sandbox))
}
