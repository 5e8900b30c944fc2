/** Environments as the contract shows them: what is built, how it stands, who needs it. */
import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { CheckedInputOf, OutputOf } from '../contract/table.ts'
import type { Environment } from '../environment/environment.ts'
import { sandboxOwner } from '../hand/index.ts'
import type { Owner } from '../hand/protocol.ts'
import { identity } from '../layer/stack.ts'
import { type Engine, iso } from './engine.ts'

type User = OutputOf<'env_inspect'>['used_by'][number]

/** Who owns the trees of environments on disk. */
export async function treeOwner(engine: Engine): Promise<Owner> {
  const info = await engine.hand.info()
  return identity(info.mode, 0, sandboxOwner(info).size).sealed
}

export async function listEnvironments(engine: Engine): Promise<OutputOf<'env_list'>> {
  const owner = await treeOwner(engine)
  const all = engine.environments.list().map(async (environment) => {
    await lookForNewer(engine, environment, owner)
    const { name, description, backends, state, reason } = environment.describe(owner)
    return { name, description, backends, state, reason }
  })
  return { environments: await Promise.all(all) }
}

/** What cannot be known, e.g. without apt, does not make a list fail. */
async function lookForNewer(engine: Engine, { name, builds }: Environment, owner: Owner): Promise<void> {
  try {
    await builds?.outdated(owner)
  } catch (error) {
    engine.log('environment.lists_unreadable', { environment: name, error: String(error) })
  }
}

export async function inspectEnvironment(
  engine: Engine,
  { environment: name, verify }: CheckedInputOf<'env_inspect'>,
): Promise<OutputOf<'env_inspect'>> {
  const environment = engine.environments.require(name)
  const owner = await treeOwner(engine)
  const damage = await environment.builds?.check(owner, { full: verify })
  await lookForNewer(engine, environment, owner)
  const described = environment.describe(owner)
  const record = environment.builds?.current(owner) ?? null
  const dir = described.cache_path === null ? null : dirname(described.cache_path)
  return {
    ...described,
    made_at: record === null ? null : iso(record.made_at),
    checksum: record?.checksum ?? null,
    entries: record?.entries ?? null,
    bytes: record?.bytes ?? null,
    image: record === null ? null : imageOf(record.dir),
    snapshot: (record?.snapshot ?? []).map(({ codename, date, sha256 }) => ({ codename, date, sha256 })),
    packages: record?.packages ?? [],
    used_by: dir === null ? [] : usersOf(engine, dir),
    verified: verify && record !== null && damage === null,
  }
}

/** Null where there is none, or none that is whole. */
function imageOf(dir: string): OutputOf<'env_inspect'>['image'] {
  const path = join(dir, 'root.erofs')
  try {
    const [sha256 = ''] = readFileSync(`${path}.sha256`, 'utf8').split(' ')
    return { path, bytes: statSync(path).size, sha256 }
  } catch {
    return null
  }
}

/** Workspaces that need a build. Links to folders that are gone mean nobody (src/environment/uses.ts). */
function usersOf(engine: Engine, build: string): User[] {
  const folder = join(build, 'users')
  const read = (name: string): { name: string; dir: string }[] => {
    try {
      const dir = readlinkSync(join(folder, name))
      statSync(dir)
      return [{ name, dir }]
    } catch {
      return []
    }
  }
  try {
    return readdirSync(folder)
      .flatMap(read)
      .map((user) => userView(engine, user))
  } catch {
    return []
  }
}

export function userView(engine: Engine, { name, dir }: { name: string; dir: string }): User {
  const [id = name] = name.split('@')
  const home = dirname(dirname(dir))
  const own = home === engine.home ? engine.workspaces.find(id) : undefined
  return { workspace_id: id, name: own?.name ?? null, home }
}
