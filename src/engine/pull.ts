/** Environments are made ready, and made anew. */
import { statSync } from 'node:fs'
import type { CallContext, CheckedInputOf, OutputOf, Progress } from '../contract/table.ts'
import type { BuildOptions, BuildProgress, Environment } from '../environment/environment.ts'
import type { Owner } from '../hand/protocol.ts'
import { choose } from './choose.ts'
import type { Engine } from './engine.ts'
import { treeOwner } from './environments.ts'

export function asProgress({ text, done, total, unit }: BuildProgress): Progress {
  if (done === undefined) return { kind: 'step', text }
  return {
    kind: 'count',
    text,
    done,
    ...(total === undefined ? {} : { total }),
    ...(unit === undefined ? {} : { unit }),
  }
}

type Action = Pick<OutputOf<'env_pull'>, 'action' | 'reason'> & { root: string }

export async function pullEnvironment(
  engine: Engine,
  { environment: name, backend: asked, force }: CheckedInputOf<'env_pull'>,
  { signal, progress }: CallContext,
): Promise<OutputOf<'env_pull'>> {
  const environment = engine.environments.require(name)
  const backend = await choose(engine.backends.all, { backend: asked }, environment)
  const owner = await treeOwner(engine)
  const from = performance.now()
  const options = { signal, progress: (said: BuildProgress) => progress(asProgress(said)) }
  const { root, action, reason } = await makeRoot(environment, owner, force, options)
  const machine = backend.medium === 'disk'
  const record = environment.builds?.current(owner) ?? null
  return {
    environment: name,
    backend: backend.name,
    action,
    reason,
    root,
    checksum: record?.checksum ?? null,
    bytes: record?.bytes ?? null,
    packages: record?.packages.length ?? null,
    ...(machine
      ? await forMachines(engine, environment, owner, true, options)
      : { image: null, guest: null }),
    duration_ms: Math.round(performance.now() - from),
  }
}

/** Everything that a workspace of an environment starts from, where it is missing. */
export async function prepare(
  engine: Engine,
  { environment: name }: CheckedInputOf<'prepare'>,
  { signal, progress }: CallContext,
): Promise<OutputOf<'prepare'>> {
  const environment = engine.environments.require(name)
  const owner = await treeOwner(engine)
  const from = performance.now()
  let built = false
  const options = {
    signal,
    progress(said: BuildProgress) {
      built = true
      progress(asProgress(said))
    },
  }
  const { lowers } = await environment.build(owner, options)
  const machines = await forMachines(engine, environment, owner, false, options)
  return {
    environment: name,
    state: 'ready',
    built,
    duration_ms: Math.round(performance.now() - from),
    root: lowers[0]!,
    ...machines,
  }
}

async function makeRoot(
  environment: Environment,
  owner: Owner,
  force: boolean,
  options: BuildOptions,
): Promise<Action> {
  const { builds } = environment
  const before = builds?.standing(owner) ?? null
  if (builds === undefined || before === null) {
    const had = environment.describe(owner).state === 'warm'
    const { lowers } = await environment.build(owner, options)
    return { root: lowers[0]!, action: had ? 'kept' : 'made', reason: null }
  }
  options.progress?.({ text: `${environment.name}: comparing what is there with what the archives offer` })
  const damage = await builds.check(owner, { full: false })
  const reason = damage ?? (force ? 'it was asked for' : await builds.outdated(owner))
  if (reason === null) {
    const { lowers } = await environment.build(owner, options)
    return { root: lowers[0]!, action: 'kept', reason: null }
  }
  const { lowers } = await builds.renew(owner, before, options)
  const same = damage === null && builds.standing(owner) === before
  return { root: lowers[0]!, action: same ? 'kept' : 'renewed', reason }
}

async function forMachines(
  engine: Engine,
  environment: Environment,
  owner: Owner,
  renew: boolean,
  options: BuildOptions,
): Promise<Pick<OutputOf<'env_pull'>, 'image' | 'guest'>> {
  const path = await environment.image?.(owner, options)
  if (path === undefined) return { image: null, guest: null }
  const outdated = renew && (await engine.guestImages.outdated()) !== null
  const guest = await engine.guestImages.ensure({ ...options, renew: outdated })
  return { image: { path, bytes: statSync(path).size }, guest }
}
