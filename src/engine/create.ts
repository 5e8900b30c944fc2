/** A workspace comes into being, whole or not at all. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { PyroError } from '../contract/errors.ts'
import type { CallContext, CheckedInputOf } from '../contract/table.ts'
import { layerPaths, MAX_SLOTS } from '../layer/stack.ts'
import type { WorkspaceRow } from '../store/workspaces.ts'
import { both } from './both.ts'
import { bringUp, furnish } from './bringup.ts'
import type { BuildProgress } from '../environment/environment.ts'
import { choose } from './choose.ts'
import { signOfLife } from './clock.ts'
import { destroy } from './destroy.ts'
import type { Engine } from './engine.ts'
import { requireSuitableHome } from './home.ts'
import { newWorkspaceId } from './ids.ts'
import { asProgress } from './pull.ts'
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
  refuseTakenName(engine, input.name)
  await requireSuitableHome(engine)
  await checkSeed(engine, input)
  const backend = await choose(engine.backends.all, input, environment)
  const limits = await backend.limits(input)

  const row = engine.ranges.take((others) =>
    engine.record('create.intent', () =>
      insertRow(engine, input, { backend: backend.name, limits, slot: engine.workspaces.freeSlot(others) }),
    ),
  )
  return engine.queues.run(row.id, async () => {
    const layers = engine.backends.layersOf(row)
    const of = { id: row.id, slot: row.slot, seeded: isSeeded(input) }
    const { dir } = layerPaths(engine.home, row.id)
    try {
      mkdirSync(join(dir, 'bundle'), { recursive: true, mode: 0o700 })
      const [seed, { medium, sandbox }] = await both(
        context.signal,
        async (signal) => {
          const seed = await laySeed(engine, layers, of, input, { ...context, signal })
          engine.record('create.seeded', () => engine.workspaces.update(row.id, { seed }))
          await layers.seal(of)
          engine.record('create.mounted', () => {})
          return seed
        },
        async (signal) => {
          const progress = (said: BuildProgress) => context.progress(asProgress(said))
          const medium = await layers.stack(of, environment, limits, { signal, progress })
          signal.throwIfAborted()
          const sandbox = await bringUp(engine, row, medium, signal, (sandbox) =>
            engine.record('create.started', () => engine.workspaces.update(row.id, { sandbox })),
          )
          return { medium, sandbox }
        },
      )
      await furnish(engine, { ...row, seed }, medium, sandbox)
      context.signal.throwIfAborted()
      const whole = { state: 'running', ...signOfLife() } as const
      engine.record('create.outcome', () => engine.workspaces.update(row.id, whole))
      engine.log('workspace.created', { workspace: row.id })
      engine.lifetimes.look()
      return { ...row, seed, sandbox, ...whole }
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
  given: Pick<WorkspaceRow, 'backend' | 'limits' | 'slot'>,
): WorkspaceRow {
  refuseTakenName(engine, input.name)
  if (given.slot > MAX_SLOTS)
    throw new PyroError('not_supported', `This user has ${MAX_SLOTS} workspaces already.`, {
      hint: 'Delete some; root has no more for all its PYRO_HOMEs together.',
    })
  const id = newWorkspaceId()
  const now = signOfLife()
  const row: WorkspaceRow = {
    id,
    name: input.name ?? null,
    hostname: input.name ?? id,
    state: 'creating',
    reason: null,
    environment: input.environment,
    ...given,
    labels: input.labels,
    seed: emptySeed(),
    sandbox: null,
    ephemeral: input.ephemeral ?? false,
    created_at: now.activity_at,
    ...now,
    idle_seconds: input.idle_seconds ?? null,
    expires_at: input.ttl_seconds === undefined ? null : now.activity_at + input.ttl_seconds * 1000,
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
