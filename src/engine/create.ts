/** A workspace comes into being, whole or not at all. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { PyroError } from '../contract/errors.ts'
import type { CallContext, CheckedInputOf } from '../contract/table.ts'
import { layerPaths, MAX_SLOTS } from '../layer/stack.ts'
import type { WorkspaceRow } from '../store/workspaces.ts'
import { both } from './both.ts'
import { choose } from './choose.ts'
import { destroy } from './destroy.ts'
import type { Engine } from './engine.ts'
import { call, introduce } from './greet.ts'
import { requireSuitableHome } from './home.ts'
import { newWorkspaceId } from './ids.ts'
import { running } from './layers.ts'
import { checkSeed, emptySeed, isSeeded, laySeed } from './seed.ts'

type Input = CheckedInputOf<'workspace_create'> & { ephemeral?: boolean }

/**
 * Costs a copy of the seed beside one start: the sandbox starts without its /workspace and receives it. On any failure
 * everything that had begun is undone.
 */
export async function createWorkspace(
  engine: Engine,
  input: Input,
  context: CallContext,
): Promise<WorkspaceRow> {
  const environment = engine.environments.require(input.environment)
  checkSeed(input)
  refuseTakenName(engine, input.name)
  await requireSuitableHome(engine)
  const backend = await choose(engine.backends.all, input, environment)
  const limits = await backend.limits(input)

  const row = engine.record('create.intent', () => insertRow(engine, input, backend.name, limits))
  return engine.queues.run(row.id, async () => {
    const layers = engine.backends.layersOf(row)
    const of = { id: row.id, slot: row.slot, seeded: isSeeded(input) }
    const { dir } = layerPaths(engine.home, row.id)
    try {
      mkdirSync(join(dir, 'bundle'), { recursive: true, mode: 0o700 })
      const [seed, sandbox] = await both(
        context.signal,
        async (signal) => {
          const seed = await laySeed(engine, layers, of, input, { ...context, signal })
          engine.record('create.seeded', () => engine.workspaces.update(row.id, { seed }))
          await layers.seal(of)
          engine.record('create.mounted', () => {})
          return seed
        },
        async (signal) => {
          const progress = (text: string) => context.progress({ kind: 'step', text })
          const medium = await layers.stack(of, environment, limits, { signal, progress })
          signal.throwIfAborted()
          const hostname = input.name ?? row.id
          const sandbox = await backend.start({
            id: row.id,
            hostname,
            dir,
            limits,
            medium,
            onReachable: () => call(engine, row.id),
          })
          engine.record('create.started', () => engine.workspaces.update(row.id, { sandbox }))
          if (backend.medium === 'disk') await introduce(engine, row.id, hostname)
          return sandbox
        },
      )
      await layers.attach(of, running(backend, sandbox))
      context.signal.throwIfAborted()
      engine.record('create.outcome', () => engine.workspaces.update(row.id, { state: 'running' }))
      engine.log('workspace.created', { workspace: row.id })
      return { ...row, seed, sandbox, state: 'running' }
    } catch (error) {
      engine.log('workspace.create_failed', { workspace: row.id, error: String(error) })
      await destroy(engine, engine.workspaces.find(row.id) ?? row)
      engine.record('create.undone', () => engine.workspaces.remove(row.id))
      throw error
    }
  })
}

function insertRow(
  engine: Engine,
  input: Input,
  backend: WorkspaceRow['backend'],
  limits: WorkspaceRow['limits'],
): WorkspaceRow {
  refuseTakenName(engine, input.name)
  const slot = engine.workspaces.freeSlot()
  if (slot > MAX_SLOTS)
    throw new PyroError('not_supported', `There are already ${MAX_SLOTS} workspaces in this PYRO_HOME.`)
  const now = Date.now()
  const row: WorkspaceRow = {
    id: newWorkspaceId(),
    name: input.name ?? null,
    state: 'creating',
    reason: null,
    environment: input.environment,
    backend,
    labels: input.labels,
    limits,
    seed: emptySeed(),
    slot,
    sandbox: null,
    ephemeral: input.ephemeral ?? false,
    created_at: now,
    activity_at: now,
  }
  engine.workspaces.insert(row)
  return row
}

function refuseTakenName(engine: Engine, name: string | undefined): void {
  if (name !== undefined && engine.workspaces.find(name) !== undefined)
    throw new PyroError('name_taken', `There is already a workspace named ${JSON.stringify(name)}.`, {
      hint: 'Choose another name, or delete that workspace.',
    })
}
