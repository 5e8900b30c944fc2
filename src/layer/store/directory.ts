/** Layers as overlay directories, mounted in the holder's namespace: what containers are made of. */
import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { join } from 'node:path'
import type { DirectoryMedium } from '../../backend/backend.ts'
import { readSpool } from '../../channel/spool.ts'
import { PyroError } from '../../contract/errors.ts'
import type { BuiltEnvironment } from '../../environment/environment.ts'
import { type HandService, sandboxOwner } from '../../hand/index.ts'
import type { Idmap, StackMount } from '../../hand/protocol.ts'
import {
  type Identity,
  identity,
  type LayerPaths,
  layerPaths,
  type StagePaths,
  stagePaths,
} from '../stack.ts'
import {
  type LayerName,
  type LayerStore,
  MAX_LAYER,
  SEED_LIMITS,
  type SeedLimits,
  type Subject,
} from './store.ts'

export interface DirectoryStoreOptions {
  hand: HandService
  home: string
  seedLimits?: SeedLimits
}

interface Place {
  who: Identity
  paths: LayerPaths
  stage: StagePaths
}

const userOf = ({ id }: Subject, { paths }: Place) => ({ id, dir: paths.dir })

/** A layer's directory, and the ids that own what a sandbox's root owns in it; null where those are the sandbox's. */
function layerOf(layer: LayerName, { who, paths }: Place): [string, Idmap | null] {
  if (layer === 'baseline') return [paths.baseline, who.sealed.uid === 0 ? null : who.inside]
  return [paths[layer].upper, who.inside]
}

export function directoryStore({ hand, home, seedLimits = SEED_LIMITS }: DirectoryStoreOptions): LayerStore {
  async function place({ id, slot }: Subject): Promise<Place> {
    const info = await hand.info()
    return {
      who: identity(info.mode, slot, sandboxOwner(info).size),
      paths: layerPaths(home, id),
      stage: stagePaths(info.stage, id),
    }
  }
  /** `whole`: with its /workspace from the start. */
  function medium(of: Subject, at: Place, built: BuiltEnvironment, whole: boolean): DirectoryMedium {
    const { who, paths, stage } = at
    const { lowers, binds, masked } = built
    const root = { lowers, ...paths.root, merged: stage.root, idmap: who.idmap, owner: who.writable }
    return {
      kind: 'directory',
      folders: [{ path: paths.spool, owner: who.writable }],
      mounts: whole ? [root, workspaceOf(of, at)] : [root],
      root: stage.root,
      workspace: whole ? stage.workspace : null,
      binds,
      masked,
      spool: paths.spool,
      ids: who.inside,
    }
  }
  const lowers = ({ seeded }: Subject, { baseline }: LayerPaths) => (seeded ? [baseline] : [])

  const workspaceOf = (of: Subject, { who, paths, stage }: Place): StackMount => ({
    lowers: lowers(of, paths),
    ...paths.workspace,
    merged: stage.workspace,
    idmap: who.idmap,
    owner: who.writable,
  })
  async function mountWorkspace(of: Subject): Promise<void> {
    await hand.call('mount_stack', workspaceOf(of, await place(of)))
  }

  return {
    kind: 'directory',
    asksGuest: false,

    /** All of it is made in the request that starts the container: a round trip costs more than a mount. */
    async stack(of, environment, _limits, options) {
      const at = await place(of)
      const built = await environment.build(at.who.sealed, { ...options, user: userOf(of, at) })
      return medium(of, at, built, !of.seeded)
    },

    async restack(of, environment, options) {
      const at = await place(of)
      const built = await environment.build(at.who.sealed, { ...options, user: userOf(of, at) })
      // Left by the sandbox before, or by somebody who read the files.
      await hand.call('unmount', { path: at.stage.dir })
      return medium(of, at, built, true)
    },

    async seed(of, { path: source, all = false, take = false }, options) {
      const { who, paths } = await place(of)
      const args = {
        source,
        dest: paths.baseline,
        owner: who.sealed,
        all,
        take,
        apart: take ? [] : [home],
        ...seedLimits,
      }
      return hand.call('seed', args, options)
    },

    async seal(of) {
      if (of.seeded) await mountWorkspace(of)
    },

    async attach(of, sandbox) {
      if (!of.seeded) return
      const { stage } = await place(of)
      await sandbox.attach?.(stage.workspace, '/workspace')
    },

    /**
     * A holder that was lost took its mounts along, while the sandbox keeps its own of the same layers. The kernel would
     * let both write to one upper layer, so the sandbox has to end before the layers are mounted again.
     */
    async open(of, sandbox) {
      if (sandbox !== null) {
        if (sandbox.holder === (await hand.holderId())) return
        await sandbox.end()
      }
      try {
        await mountWorkspace(of)
      } catch (error) {
        const cause = error instanceof PyroError ? (error.cause as { code?: string } | undefined) : undefined
        if (cause?.code !== 'already_mounted') throw error
      }
    },

    async scan(of, limit) {
      const { paths } = await place(of)
      return hand.call('changes', { lowers: lowers(of, paths), upper: paths.workspace.upper, limit })
    },

    async read(of, { signal, ...what }) {
      const { stage } = await place(of)
      // Inside the hand's namespace 0 is the user of this engine, as root and as an ordinary user.
      const owner = { uid: 0, gid: 0 }
      return hand.call(
        'export',
        { root: stage.workspace, ...what, owner, apart: [home] },
        signal ? { signal } : {},
      )
    },

    async pack(of, layer, dest, options) {
      const [source, ids] = layerOf(layer, await place(of))
      return hand.call('pack', { source, dest, ids }, options)
    },

    async unpack(of, layer, source, options) {
      const [dest, ids] = layerOf(layer, await place(of))
      mkdirSync(dirname(dest), { recursive: true, mode: 0o755 })
      return hand.call('unpack', { source, dest, ids, ...MAX_LAYER }, options)
    },

    spool: (id) => layerPaths(home, id).spool,

    async output({ id }, { job, stream, cursor, max }) {
      const file = `${job}.${stream === 'stdout' ? 'out' : 'err'}`
      return readSpool(join(layerPaths(home, id).spool, file), cursor, max)
    },

    async usage(of) {
      const { paths } = await place(of)
      const bytes = async (path: string) => (await hand.call('usage', { path })).bytes
      const [baseline, ...written] = await Promise.all([
        of.seeded ? bytes(paths.baseline) : 0,
        ...[paths.root.upper, paths.workspace.upper, paths.spool].map(bytes),
      ])
      return { baseline, written: written.reduce((sum, one) => sum + one, 0) }
    },

    async drop(of) {
      const { paths, stage } = await place(of)
      await hand.call('remove', { path: stage.dir })
      await hand.call('remove', { path: paths.dir })
    },
  }
}
