/** What the cache holds and nothing needs is removed. What a workspace needs is known by its build (environment/uses.ts). */
import { existsSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { PyroError } from '../contract/errors.ts'
import type { CallContext, CheckedInputOf, OutputOf } from '../contract/table.ts'
import type { Engine } from './engine.ts'
import { treeOwner, userView } from './environments.ts'

type Output = OutputOf<'env_prune'>
type Part = Output['removed'][number]
type Found = Omit<Part, 'bytes'> & { current: boolean }

export async function pruneEnvironments(
  engine: Engine,
  { environment: only, all, dry_run }: CheckedInputOf<'env_prune'>,
  { signal, progress }: CallContext,
): Promise<Output> {
  if (only !== undefined) engine.environments.require(only)
  const found = await everything(engine)
  const asked = found.parts.filter((part) => only === undefined || part.environment === only)
  const wanted = asked.filter(({ current }) => all || only !== undefined || !current)
  if (only !== undefined) await refuseUsed(engine, only, wanted)
  const output: Output = { dry_run, freed_bytes: 0, removed: [], kept: [] }
  for (const { current, ...part } of asked) {
    signal.throwIfAborted()
    const spare = current && !all && only === undefined
    progress({ kind: 'step', text: `${part.path}` })
    const looked = await engine.hand.call(
      'build_remove',
      { build: part.path, dry_run: dry_run || spare },
      { signal },
    )
    const used_by = looked.users.map((user) => userView(engine, user))
    const { bytes } = looked
    if (spare || !looked.removed)
      output.kept.push({ ...part, bytes, reason: used_by.length > 0 ? 'in_use' : 'current', used_by })
    else output.removed.push({ ...part, bytes })
  }
  for (const [folder, environment] of found.folders) {
    if (only !== undefined && environment !== only) continue
    const { bytes } = await engine.hand.call('builds_sweep', { folder, dry_run }, { signal })
    if (bytes > 0) output.removed.push({ what: 'leftover', environment, path: folder, bytes })
  }
  output.freed_bytes = output.removed.reduce((sum, { bytes }) => sum + bytes, 0)
  engine.log('environment.pruned', { removed: output.removed.length, bytes: output.freed_bytes, dry_run })
  return output
}

/** Before anything is touched. @throws environment_in_use with the workspaces */
async function refuseUsed(engine: Engine, name: string, parts: Found[]): Promise<void> {
  const answers = parts.map(({ path }) => engine.hand.call('build_remove', { build: path, dry_run: true }))
  const users = (await Promise.all(answers)).flatMap(({ users }) => users)
  if (users.length === 0) return
  const named = users.map((user) => {
    const { workspace_id, name: called, home } = userView(engine, user)
    const where = home === engine.home ? '' : ` of ${home}`
    return called === null ? `${workspace_id}${where}` : `${workspace_id} (${called})`
  })
  throw new PyroError('environment_in_use', `Workspaces need ${name}: ${named.join(', ')}.`, {
    hint: 'Delete them first: pyro workspace delete ID',
  })
}

interface Cache {
  parts: Found[]
  /** Folders that builds are made in, with the environment they are of. */
  folders: Map<string, string | null>
}

const names = (folder: string): string[] => {
  try {
    return readdirSync(folder, { withFileTypes: true })
      .filter((entry) => entry.isDirectory() && !entry.name.includes('.tmp-'))
      .map(({ name }) => name)
  } catch {
    return []
  }
}

/**
 * PYRO_CACHE/environments/NAME/ holds builds, or folders of definitions that hold builds; a build has a root.
 * PYRO_CACHE/guest/ holds what machines boot.
 */
async function everything(engine: Engine): Promise<Cache> {
  const owner = await treeOwner(engine)
  const cache: Cache = { parts: [], folders: new Map() }
  const current = new Set<string>()
  const known = new Map<string, string>()
  for (const environment of engine.environments.list()) {
    const { cache_path } = environment.describe(owner)
    if (cache_path !== null) current.add(dirname(cache_path))
    known.set(environment.name.replace(/[^a-z0-9.]+/g, '-'), environment.name)
  }
  const top = join(engine.cache, 'environments')
  for (const name of names(top)) {
    const environment = known.get(name) ?? name
    const add = (folder: string, build: string) => {
      const path = join(folder, build)
      cache.folders.set(folder, environment)
      cache.parts.push({ what: 'environment', environment, path, current: current.has(path) })
    }
    for (const each of names(join(top, name))) {
      const folder = join(top, name, each)
      if (existsSync(join(folder, 'root'))) add(join(top, name), each)
      else {
        cache.folders.set(folder, environment)
        for (const build of names(folder)) add(folder, build)
      }
    }
  }
  const guest = join(engine.cache, 'guest')
  const inUse = await engine.guestImages.current()
  for (const name of names(guest)) {
    const path = join(guest, name)
    cache.folders.set(guest, null)
    cache.parts.push({ what: 'guest', environment: null, path, current: inUse.includes(path) })
  }
  return cache
}
