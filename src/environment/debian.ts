/**
 * A Debian of its own: installed by mmdebstrap from the archives that this machine's apt uses, as a sealed directory, and
 * as an image made of that. It differs from one machine to the next only by the versions that the archives had.
 *
 *   PYRO_CACHE/environments/NAME/DEFINITION/current -> BUILD
 *   PYRO_CACHE/environments/NAME/DEFINITION/BUILD/{root,root.erofs,manifest.json,users}
 */
import { createHash } from 'node:crypto'
import { accessSync, constants, existsSync, readdirSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { PyroError } from '../contract/errors.ts'
import { sandboxOwner } from '../hand/index.ts'
import type { Hand, Idmap, Owner } from '../hand/protocol.ts'
import { DEBIAN_ARCH, debianSources, proxyVariables, transportSettings } from './apt.ts'
import { COMMANDS, type DebianDefinition, FILES, LAYOUT, REMOVE } from './definitions.ts'
import {
  type BuildOptions,
  type BuiltEnvironment,
  type Environment,
  type EnvironmentState,
  toHand,
} from './environment.ts'
import { costOf, listsNow, newerPackages } from './offers.ts'
import { currentId, readRecord } from './records.ts'
import { shared } from './shared.ts'
import { keepBuild } from './uses.ts'

const BACKENDS = ['oci', 'qemu', 'firecracker']

export interface DebianOptions {
  hand: Hand
  cache: string
}

export function debianEnvironment(definition: DebianDefinition, { hand, cache }: DebianOptions): Environment {
  const { name, description } = definition
  const making = shared<string>()
  const imaging = shared<string>()
  /** What was found of the builds that this engine used: each is looked at once. */
  const damages = new Map<string, string | null>()
  /** What the lists of this machine offered newer than a build, with what the lists were then. */
  const outdates = new Map<string, { lists: string; found: string | null }>()

  const folderOf = (owner: Owner) => {
    const key = JSON.stringify([LAYOUT, DEBIAN_ARCH, definition, owner, FILES, COMMANDS, REMOVE])
    const digest = createHash('sha256').update(key).digest('hex').slice(0, 16)
    return join(cache, 'environments', name.replace(/[^a-z0-9.]+/g, '-'), digest)
  }
  const at = (dir: string): BuiltEnvironment => ({ dir, lowers: [join(dir, 'root')], binds: [], masked: [] })
  const current = (owner: Owner) => {
    const folder = folderOf(owner)
    const id = currentId(folder)
    return id === null ? null : readRecord(folder, id)
  }

  function make(owner: Owner, replace: string, options: BuildOptions): Promise<string> {
    const folder = folderOf(owner)
    const replace_made_at = replace === '' ? 0 : (readRecord(folder, replace)?.made_at ?? 0)
    return making(`${folder} ${replace}`, options, async (each) => {
      each.progress({ text: `${name}: asking what the archives offer` })
      const spec = await buildSpec(hand, definition, owner)
      const { packages, download_bytes } = (await costOf(definition)) ?? {}
      const told = toHand(each, name)
      const totals: Record<string, number | undefined> = { bytes: download_bytes, packages }
      const onProgress: typeof told.onProgress = (said) => {
        const total = said.unit === undefined ? undefined : totals[said.unit]
        told.onProgress(total === undefined ? said : { ...said, total: Math.max(total, said.done ?? 0) })
      }
      const { id } = await hand(
        'debian_root',
        { ...spec, folder, replace, replace_made_at },
        { ...told, onProgress },
      )
      damages.delete(join(folder, id))
      return join(folder, id)
    })
  }

  async function check(owner: Owner, { full }: { full: boolean }): Promise<string | null> {
    const folder = folderOf(owner)
    const id = currentId(folder)
    if (id === null) return null
    const build = join(folder, id)
    const { damage } = existsSync(build)
      ? await hand('build_check', { build, ids: await idsOf(hand, owner), full })
      : { damage: 'it is gone' }
    damages.set(build, damage)
    return damage
  }

  /** The current build, looked at once, or a new one. */
  async function build(owner: Owner, options: BuildOptions): Promise<BuiltEnvironment> {
    const folder = folderOf(owner)
    const id = currentId(folder)
    if (id === null || !existsSync(join(folder, id))) return at(await make(owner, '', options))
    const known = damages.get(join(folder, id))
    const damage = known === undefined ? await check(owner, { full: false }) : known
    if (damage === null) return at(join(folder, id))
    throw new PyroError(
      'environment_damaged',
      `The environment ${name} in the cache is damaged: ${damage}.`,
      {
        hint: `Build it anew: pyro env pull ${name}`,
      },
    )
  }

  async function outdated(owner: Owner): Promise<string | null> {
    const record = current(owner)
    if (record === null) return null
    const lists = listsNow(record)
    const known = outdates.get(record.dir)
    if (known?.lists === lists) return known.found
    const found = await newerPackages(definition.suite, record)
    outdates.set(record.dir, { lists, found })
    return found
  }

  function stateOf(owner: Owner): [EnvironmentState, string | null] {
    const folder = folderOf(owner)
    const id = currentId(folder)
    if (id === null) {
      const reason = whyNot()
      if (reason !== null) return ['unavailable', reason]
      return otherDefinitions(folder) ? ['stale', 'what is built has another definition'] : ['cold', null]
    }
    const damage =
      readRecord(folder, id) === null ? 'its manifest cannot be read' : damages.get(join(folder, id))
    if (damage) return ['damaged', damage]
    const newer = outdates.get(join(folder, id))?.found
    return newer ? ['stale', newer] : ['warm', null]
  }

  return {
    name,
    backends: BACKENDS,
    describe(owner) {
      const record = current(owner)
      const [state, reason] = stateOf(owner)
      return {
        name,
        description,
        backends: BACKENDS,
        state,
        reason,
        read_only: [],
        copied: [],
        made: Object.keys(FILES).map((path) => `/${path}`),
        masked: [],
        cache_path: record === null ? null : join(record.dir, 'root'),
      }
    },
    build: (owner, options = {}) => keepBuild(hand, options.user, at, () => build(owner, options)),
    async image(owner, options = {}) {
      const { dir, lowers } = await keepBuild(hand, options.user, at, () => build(owner, options))
      const output = join(dir, 'root.erofs')
      if (existsSync(output)) return output
      return imaging(output, options, async (each) => {
        each.progress({ text: `making an image of ${name}` })
        const ids = await idsOf(hand, owner)
        await hand('erofs', { source: lowers[0]!, output, ids }, toHand(each, name))
        return output
      })
    },
    builds: {
      standing: (owner) => currentId(folderOf(owner)),
      current,
      check,
      outdated,
      cost: () => costOf(definition),
      renew: async (owner, replace, options = {}) => at(await make(owner, replace, options)),
    },
  }
}

/** Whether something is built that has the name and another definition, e.g. of an older Pyro. */
function otherDefinitions(folder: string): boolean {
  try {
    const others = readdirSync(dirname(folder)).filter((each) => /^[0-9a-f]+$/.test(each))
    return others.some((each) => currentId(join(dirname(folder), each)) !== null)
  } catch {
    return false
  }
}

async function buildSpec(hand: Hand, definition: DebianDefinition, owner: Owner) {
  const { name, suite, released, variant, packages } = definition
  const [ids, sources, settings] = await Promise.all([
    idsOf(hand, owner),
    debianSources(suite),
    transportSettings(),
  ])
  return {
    environment: name,
    ids,
    suite,
    variant,
    packages,
    sources,
    settings,
    env: proxyVariables(),
    epoch: Date.parse(released) / 1000,
    commands: COMMANDS,
    extra: {
      dirs: [{ path: 'workspace', mode: 0o755 }],
      links: [],
      files: Object.entries(FILES).map(([path, content]) => ({ path, mode: 0o644, content })),
      copies: [],
    },
    remove: REMOVE,
  }
}

/** Null where the owners on disk are those inside. */
async function idsOf(hand: Hand, owner: Owner): Promise<Idmap | null> {
  if (owner.uid === 0) return null
  return { base: owner.uid, size: sandboxOwner(await hand('hello', {})).size }
}

function whyNot(): string | null {
  if (DEBIAN_ARCH === null) return `Debian is not built here for ${process.arch}`
  const folders = ['/usr/local/bin', '/usr/bin', ...(process.env['PATH'] ?? '').split(':')]
  if (folders.some((folder) => executable(join(folder, 'mmdebstrap')))) return null
  return 'mmdebstrap is not installed: sudo apt-get install mmdebstrap'
}

function executable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
