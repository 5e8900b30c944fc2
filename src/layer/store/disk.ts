/**
 * Layers as images that a machine mounts itself. This machine makes images of its own trees and never reads one that a
 * guest wrote: what is written inside is asked of a guest, the running one or, when that is gone, one that only reads.
 */
import { createReadStream, existsSync, readlinkSync, rmSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'
import type { DiskMedium, MachineDisk } from '../../backend/backend.ts'
import { PyroError } from '../../contract/errors.ts'
import type { Environment } from '../../environment/environment.ts'
import { type HandService, sandboxOwner } from '../../hand/index.ts'
import { saveBytes } from '../bytes.ts'
import { receiveTree } from '../pour.ts'
import { type Identity, identity, layerPaths } from '../stack.ts'
import {
  type GuestLayers,
  type LayerStore,
  MAX_LAYER,
  SEED_LIMITS,
  type SeedLimits,
  type Subject,
} from './store.ts'

export interface DiskStoreOptions {
  hand: HandService
  home: string
  /** Private folder for sockets. */
  runtimeDir: string
  seedLimits?: SeedLimits
  /** Lends the guest that has the workspace's disks: the running one, or one made of `inspect`'s answer meanwhile. */
  withGuest: <T>(
    of: Subject,
    inspect: () => Promise<DiskMedium>,
    use: (guest: GuestLayers) => Promise<T>,
  ) => Promise<T>
}

/** Longer than any baseline, and no longer than every file system and device allows. */
const PLACEHOLDER = 1024 ** 4
const DEFAULT_DISK_MIB = 16_384

interface Place {
  who: Identity
  dir: string
  /** The seed's copy, until it is an image. */
  tree: string
  base: string
  changes: string
  /** A layer tar that the machine takes in before it mounts /workspace. */
  arriving: string
  /** Link to the environment's image, so that a later machine has the same root. */
  env: string
}

export function diskStore({
  hand,
  home,
  runtimeDir,
  seedLimits = SEED_LIMITS,
  withGuest,
}: DiskStoreOptions): LayerStore {
  async function place({ id, slot }: Subject): Promise<Place> {
    const info = await hand.info()
    const { dir, baseline: tree } = layerPaths(home, id)
    return {
      who: identity(info.mode, slot, sandboxOwner(info).size),
      dir,
      tree,
      base: join(dir, 'base.erofs'),
      changes: join(dir, 'changes.ext4'),
      arriving: join(dir, 'workspace.tar'),
      env: join(dir, 'env.erofs'),
    }
  }

  const medium = (of: Subject, at: Place, env: string, inspect: boolean): DiskMedium => {
    const disks: MachineDisk[] = [{ name: 'env', path: env, readOnly: true }]
    if (of.seeded) disks.push({ name: 'base', path: at.base, readOnly: true })
    // Also where a machine only reads: one that ended without order left writes in its file system's journal, and the
    // kernel that looks next puts them in their places.
    disks.push({ name: 'changes', path: at.changes, readOnly: false })
    return { kind: 'disk', disks, owner: at.who.writable, inspect }
  }
  const lend = <T>(of: Subject, use: (guest: GuestLayers) => Promise<T>): Promise<T> => {
    const inspect = async () => {
      const at = await place(of)
      return medium(of, at, readlinkSync(at.env), true)
    }
    return withGuest(of, inspect, use)
  }
  /** Stacking and sealing go on beside each other, and both need it. */
  const placeholders = new Map<string, Promise<unknown>>()
  function placeholder({ id }: Subject, { base, who }: Place): Promise<unknown> {
    const known = placeholders.get(id)
    if (known !== undefined) return known
    const making = hand.call('image_placeholder', { output: base, size: PLACEHOLDER, owner: who.writable })
    placeholders.set(id, making)
    return making
  }
  /** Ids that own a sealed tree on disk; null where they are those of the image. */
  const shift = ({ who }: Place) => (who.sealed.uid === 0 ? null : who.inside)

  return {
    kind: 'disk',
    asksGuest: true,

    /** The baseline's disk is there from the start, as a hole: its content comes while the machine boots. */
    async stack(of, environment, { disk_mib }, options) {
      const at = await place(of)
      const owner = at.who.writable
      if (environment.image === undefined) throw noImage(environment)
      const [env] = await together([
        environment.image(at.who.sealed, { ...options, user: { id: of.id, dir: at.dir } }),
        hand.call('image_create', { output: at.changes, size_mib: disk_mib ?? DEFAULT_DISK_MIB, owner }),
        of.seeded && placeholder(of, at),
      ])
      symlinkSync(env, at.env)
      return medium(of, at, env, false)
    },

    async restack(of, environment, options) {
      const at = await place(of)
      const env = readlinkSync(at.env)
      if (existsSync(env)) return medium(of, at, env, false)
      const again = await environment.image?.(at.who.sealed, { ...options, user: { id: of.id, dir: at.dir } })
      if (again === undefined) throw noImage(environment)
      rmSync(at.env)
      symlinkSync(again, at.env)
      return medium(of, at, again, false)
    },

    async seed(of, { path: source, all = false, take = false }, options) {
      const { who, tree } = await place(of)
      const args = {
        source,
        dest: tree,
        owner: who.sealed,
        all,
        take,
        apart: take ? [] : [home],
        ...seedLimits,
      }
      return hand.call('seed', args, options)
    },

    async seal(of) {
      if (!of.seeded) return
      const at = await place(of)
      await placeholder(of, at)
      await hand.call('image_seal', {
        source: at.tree,
        output: at.base,
        ids: shift(at),
        keep_size: true,
        owner: at.who.writable,
      })
    },

    async attach(of) {
      placeholders.delete(of.id)
      const { tree, arriving } = await place(of)
      const mount = async (guest: GuestLayers) => {
        if (existsSync(arriving)) await guest.putLayer('workspace', createReadStream(arriving))
        await guest.mountWorkspace(of.seeded)
        rmSync(arriving, { force: true })
      }
      // The image has the seed; the copy goes while the machine mounts.
      await together([lend(of, mount), of.seeded && hand.call('remove', { path: tree })])
    },

    /** The disks are the guest's, whatever became of the holder. */
    async open() {},

    scan: (of, limit) => lend(of, (guest) => guest.changes(limit)),

    read: (of, { path, output, overwrite, signal }) =>
      lend(of, async (guest) => {
        const body = await guest.tree(path)
        // Inside the hand's namespace 0 is the user of this engine, as root and as an ordinary user.
        const what = { path, output, overwrite, owner: { uid: 0, gid: 0 }, apart: [home] }
        return receiveTree(hand.call, runtimeDir, body, signal ? { ...what, signal } : what)
      }),

    pack: (of, layer, dest, { signal } = {}) =>
      lend(of, async (guest) => ({ digest: await saveBytes(await guest.layer(layer), dest, signal) })),

    /** What goes onto the disk itself waits for the machine: its file system is written by the machine's kernel alone. */
    async unpack(of, layer, source, options = {}) {
      const at = await place(of)
      if (layer === 'baseline')
        return hand.call('unpack', { source, dest: at.tree, ids: shift(at), ...MAX_LAYER }, options)
      if (layer === 'workspace')
        return { digest: await saveBytes(createReadStream(source), at.arriving, options.signal) }
      throw new PyroError(
        'not_supported',
        'What was written outside /workspace cannot be put into a machine.',
      )
    },

    spool: () => null,

    output: (of, { job, stream, cursor, max }) => lend(of, (guest) => guest.output(job, stream, cursor, max)),

    async usage(of) {
      const { base, changes } = await place(of)
      const bytes = async (path: string) => (await hand.call('image_usage', { path })).allocated
      const [baseline, written] = await Promise.all([of.seeded ? bytes(base) : 0, bytes(changes)])
      return { baseline, written }
    },

    async drop(of) {
      placeholders.delete(of.id)
      const { dir } = await place(of)
      await hand.call('remove', { path: dir })
    },
  }
}

const noImage = ({ name }: Environment) =>
  new PyroError('not_supported', `The environment ${name} has no image for machines.`)

/** All at once; a failure is told when none of them is at work any more, so that undoing races with nothing. */
async function together<T extends readonly unknown[]>(
  works: readonly [...T],
): Promise<{ [K in keyof T]: Awaited<T[K]> }> {
  const settled = await Promise.allSettled(works)
  for (const one of settled) if (one.status === 'rejected') throw one.reason
  return settled.map((one) => (one as PromiseFulfilledResult<unknown>).value) as {
    [K in keyof T]: Awaited<T[K]>
  }
}
