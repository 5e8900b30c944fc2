/**
 * A layer store keeps what a workspace is made of: the sealed layers of its environment and of its baseline, and the
 * writable layers above them. There are two, which mean the same: `directory`, overlay directories that this machine
 * mounts, and `disk`, images that a machine mounts itself. The engine asks the store that goes with a workspace's
 * backend and never which one it is:
 *
 *   creating   stack, backend.start   beside   seed, seal   and then attach
 *   later      open, then scan, read, usage
 *   again      restack, backend.start, and attach where that has left something to do
 *   a move     pack from one, unpack into another before its sandbox starts
 *   at the end drop
 */
import type { Readable } from 'node:stream'
import type { SpoolPart } from '../../channel/spool.ts'
import type { SandboxSpec } from '../../backend/backend.ts'
import type { BuildOptions, Environment } from '../../environment/environment.ts'
import type { CallOptions, HandOperations } from '../../hand/protocol.ts'

/** A workspace, as far as a store needs to know it. */
export interface Subject {
  id: string
  /** Number of its range of ids. */
  slot: number
  /** Whether it has a baseline. */
  seeded: boolean
}

/** What a baseline is made from. */
export interface SeedSource {
  path: string
  /** Of a git checkout, ignored files too. */
  all?: boolean
  /** It is a clone without files that was made for this: its objects are moved out of it, and its files made. */
  take?: boolean
}
export type Seeded = HandOperations['seed'][1]
export type Changes = HandOperations['changes'][1]
export type Taken = HandOperations['export'][1]

/** What can be moved by itself: the sealed baseline, and what was written above it and above the environment. */
export type LayerName = 'baseline' | 'workspace' | 'root'

/** An OCI layer tar: "sha256:" and hex digits, which OCI calls the layer's diff id. */
export interface Packed {
  digest: string
}

/** The agent of a machine, as far as its disks go. */
export interface GuestLayers {
  /** Mounts /workspace; a second time changes nothing. */
  mountWorkspace: (seeded: boolean) => Promise<void>
  changes: (limit: number) => Promise<Changes>
  /** A tar of what lies at a path below /workspace: "./" and what is in it, or one file. */
  tree: (path: string) => Promise<Readable>
  /** Part of a command's output; empty where it left none. */
  output: (job: string, stream: 'stdout' | 'stderr', cursor: number, max: number) => Promise<SpoolPart>
  /** One layer as an OCI layer tar. */
  layer: (name: LayerName) => Promise<Readable>
  /** Fills the empty layer that nothing is mounted over yet. */
  putLayer: (name: LayerName, body: Readable) => Promise<void>
}

export interface OutputRange {
  job: string
  stream: 'stdout' | 'stderr'
  cursor: number
  max: number
}

/** A sandbox that runs already, as far as it takes to give it its /workspace. */
export interface Running {
  /** Puts a mounted tree of this machine at a path inside; absent where the guest mounts by itself. */
  attach: ((source: string, target: string) => Promise<void>) | undefined
}

/** A sandbox that is recorded as running. */
export interface Recorded {
  /** The holder whose mounts it was made from. */
  holder: string | undefined
  /** Ends it. */
  end: () => Promise<void>
}

export interface ReadOptions {
  /** Below /workspace, relative and clean; '.' is all of it. */
  path: string
  /** Where it goes on this machine. */
  output: string
  overwrite: boolean
  signal?: AbortSignal
}

/** Bytes taken on this machine's disk. */
export interface Usage {
  baseline: number
  /** What was written inside: /workspace, the root, and spools. */
  written: number
}

export interface LayerStore {
  kind: SandboxSpec['medium']['kind']
  /** What was written is asked of a guest: cheaper while the sandbox still runs. */
  asksGuest: boolean
  /**
   * Empty writable layers over an environment; `disk_mib` bounds what may be written, null does not. The answer is what a
   * backend is given to start from.
   */
  stack: (
    of: Subject,
    environment: Environment,
    limits: { disk_mib: number | null },
    options: BuildOptions,
  ) => Promise<SandboxSpec['medium']>
  /**
   * The layers of a workspace whose sandbox has ended, for another one to start from: what was written is in them. The
   * environment is the one it was made from, as long as that is there.
   */
  restack: (of: Subject, environment: Environment, options: BuildOptions) => Promise<SandboxSpec['medium']>
  /** Copies a directory or an archive of this machine: the baseline to be. On failure nothing of it is left. */
  seed: (of: Subject, source: SeedSource, options: CallOptions) => Promise<Seeded>
  /** Makes a /workspace of the baseline, where there is one, and a writable layer. */
  seal: (of: Subject) => Promise<void>
  /** Gives a running sandbox its /workspace; after stack and seal. */
  attach: (of: Subject, sandbox: Running) => Promise<void>
  /** Afterwards the files can be read. A sandbox whose mounts were lost is ended first; null where none runs. */
  open: (of: Subject, sandbox: Recorded | null) => Promise<void>
  /** What changed under /workspace since the seed; costs the changes, not the tree. */
  scan: (of: Subject, limit: number) => Promise<Changes>
  /** Takes a file or a tree out, whole or not at all; after open. */
  read: (of: Subject, options: ReadOptions) => Promise<Taken>
  /** The folder on this machine that a sandbox's commands leave their output in; null where a machine has it. */
  spool: (id: string) => string | null
  /** A command's output, of a sandbox that has ended; null where there is none. @throws guest_unreachable */
  output: (of: Subject, wanted: OutputRange) => Promise<SpoolPart | null>
  /** Makes an OCI layer tar of one layer, whole or not at all; of a layer that is written to, as it is meanwhile. */
  pack: (of: Subject, layer: LayerName, dest: string, options?: CallOptions) => Promise<Packed>
  /** Makes a layer of an OCI layer tar, which is not trusted. After stack and before the start; not there yet. */
  unpack: (of: Subject, layer: LayerName, source: string, options?: CallOptions) => Promise<Packed>
  usage: (of: Subject) => Promise<Usage>
  /** Removes everything of it, mounted or not. Repeatable. */
  drop: (of: Subject) => Promise<void>
}

/** Bounds of a seed: how many entries, and how many bytes of content. */
export interface SeedLimits {
  max_entries: number
  max_bytes: number
}
export const SEED_LIMITS: SeedLimits = { max_entries: 5_000_000, max_bytes: 64 * 1024 ** 3 }
/** Bounds of a layer that comes as an archive. */
export const MAX_LAYER = { max_entries: 20_000_000, max_bytes: 16 * 1024 ** 4 }
