/**
 * Where the layers of a workspace lie, and how they are stacked: ids in, paths out, nobody else knows a path. A disk is
 * sealed layers below one writable layer; `/` and `/workspace` are two disks.
 */
import { join } from 'node:path'
import type { Idmap, Owner } from '../hand/protocol.ts'

export interface LayerPaths {
  dir: string
  baseline: string
  spool: string
  root: DiskPaths
  workspace: DiskPaths
}
interface DiskPaths {
  upper: string
  work: string
}

/** Where the disks are mounted, in the holder's mount namespace. */
export interface StagePaths {
  dir: string
  root: string
  workspace: string
}

export interface Identity {
  /** Owner of sealed layers on disk. */
  sealed: Owner
  /** Owner of writable layers on disk: the sandbox's root. */
  writable: Owner
  /** Mapping of sealed layers when they are mounted; null where disk owners are the sandbox's already. */
  idmap: Idmap | null
  /** Ids inside, as ids of the holder's namespace. */
  inside: Idmap
}

export function layerPaths(home: string, id: string): LayerPaths {
  const dir = join(home, 'workspaces', id)
  const disk = (name: string): DiskPaths => ({
    upper: join(dir, name, 'upper'),
    work: join(dir, name, 'work'),
  })
  return {
    dir,
    baseline: join(dir, 'baseline'),
    spool: join(dir, 'spool'),
    root: disk('root'),
    workspace: disk('workspace'),
  }
}

export function stagePaths(stage: string, id: string): StagePaths {
  const dir = join(stage, id)
  return { dir, root: join(dir, 'root'), workspace: join(dir, 'workspace') }
}

/** First id of the ranges for sandboxes of a root engine: above those that other tools give away by default. */
const FIRST_ID = 1_879_048_192
const RANGE = 65_536
export const MAX_SLOTS = 4094

/** Who is who: a root engine gives each sandbox a range of its own; an ordinary user's sandboxes share its one range. */
export function identity(mode: 'root' | 'user', slot: number, size: number): Identity {
  if (mode === 'user') {
    const owner = { uid: 1, gid: 1 }
    return { sealed: owner, writable: owner, idmap: null, inside: { base: 1, size } }
  }
  const base = FIRST_ID + slot * RANGE
  const range = { base, size: RANGE }
  return { sealed: { uid: 0, gid: 0 }, writable: { uid: base, gid: base }, idmap: range, inside: range }
}
