/**
 * What the host's file hand can be asked: the native binary's `hand`, which alone touches layers, mounts, the OCI
 * runtime and machines. Every path is absolute. Mirrors native/host/wire.
 */
import type { BuildOperations } from './building.ts'
import type { Entries, Idmap, Owner } from './shapes.ts'

export type { Idmap, Owner } from './shapes.ts'

export interface Skipped {
  path: string
  reason: string
}
export interface Change {
  path: string
  change: 'added' | 'modified' | 'deleted'
  type: 'file' | 'directory' | 'symlink' | 'other'
  size: number
  /** Milliseconds since the epoch (ctime). */
  changed_at_ms: number
}
/** Sealed layers (the topmost first) below a writable one, merged; both are made where they are missing. */
export interface StackMount {
  lowers: string[]
  upper: string
  work: string
  merged: string
  idmap: Idmap | null
  owner: Owner
}
/** A folder that is made with exactly this owner; one that is there stays as it is. */
export interface NewFolder {
  path: string
  owner: Owner
}
/** The program that runs a machine, and what it is given: descriptors, so that it needs no way to any of these paths. */
export interface MachineProgram {
  program: string
  args: string[]
  env?: string[]
  /** Who it runs as, in ids of the holder's namespace; never 0. */
  uid: number
  gid: number
  /** Supplementary groups; none unless given. */
  groups?: number[]
  /** Keeps the groups of the engine's user: the only way, for an ordinary user, to belong to one that is not mapped. */
  keep_groups?: boolean
  /** It begins with the hand's own rights and gives them up itself, as a jailer does. */
  privileged?: boolean
  /** A group below every hierarchy, named `pyro-…`; cpu in CPUs, memory in bytes; 0 is no limit. */
  cgroup: { path: string; cpu: number; memory: number; pids: number } | null
  /** File that names its process, for an engine that never heard of it. */
  record: string
  /** What it says, the newest 256 KiB; emptied at each start. */
  console: string
  /** Unix sockets that listen: its descriptors from 3 up. */
  sockets?: string[]
  /** Opened files: its descriptors after those. */
  files?: { path: string; write?: boolean }[]
}
/** A machine's view of its files: a small tmpfs in the holder's mount namespace, with the files bound into it. */
export interface Jail {
  /** Where it is mounted; nothing may be there. */
  dir: string
  /** The process's root below dir; empty where it has no root of its own. */
  root: string
  /** Device nodes will be made below root, which only a root hand can. */
  devices: boolean
  /** Who must be able to open the files. */
  owner: Owner
  /** New folder of this machine that appears as `run` below root; what listens there is reached from outside. */
  sockets: string
  files: { source: string; name: string; read_only: boolean }[]
}
export interface LayerTar {
  files: number
  dirs: number
  links: number
  bytes: number
  skipped_count: number
  skipped: Skipped[]
  /** "sha256:" and hex digits: OCI's diff id. */
  digest: string
}
interface RuntimeRef {
  runtime: string
  runtime_root: string
  runtime_args: string[]
  id: string
}

export interface HandOperations extends BuildOperations {
  hello: [
    Record<string, never>,
    {
      build: string
      mode: 'root' | 'user'
      holder_pid: number
      holder_start_time: number
      boot_id: string
      uid_map: { inside: number; outside: number; size: number }[]
      kernel: string
      idmapped_mounts: boolean
      /** Folder of the holder's mount namespace that every sandbox can reach; roots are mounted below it. */
      stage: string
    },
  ]
  probe_fs: [
    { path: string },
    { type: string; overlay: boolean; reason?: string; reflink: boolean; free_bytes: number },
  ]
  assemble: [
    {
      dest: string
      owner: Owner
    } & Entries,
    { files: number; bytes: number; skipped: Skipped[] },
  ]
  /** What lies at a path that is to be a seed, or why it can be none. Bytes are those of an archive's file. */
  seed_look: [
    { source: string; apart: string[] },
    { kind: 'directory' | 'tar' | 'tar.gz' | 'tar.zst'; bytes: number },
  ]
  /** The source, of whatever kind, as a new tree; it may neither hold nor lie in what it has to be apart from. */
  seed: [
    {
      source: string
      dest: string
      owner: Owner
      /** Of a git checkout, ignored files too. */
      all: boolean
      /** It is a clone without files that was made for this: its objects are moved out of it. */
      take: boolean
      max_entries: number
      max_bytes: number
      apart: string[]
    },
    {
      kind: 'git' | 'directory' | 'archive'
      files: number
      dirs: number
      links: number
      bytes: number
      skipped_count: number
      skipped: Skipped[]
      head: string | null
      /** Full name of the branch that is checked out. */
      ref: string | null
      shallow: boolean
      partial: boolean
    },
  ]
  mount_stack: [StackMount, Record<string, never>]
  unmount: [{ path: string }, Record<string, never>]
  start: [
    RuntimeRef & {
      bundle: string
      config: string
      socket: string
      console: string
      /** seccomp program, base64. */
      filter: string
      folders: NewFolder[]
      mounts: StackMount[]
    },
    { pid: number; start_time: number; runtime_ms: number },
  ]
  attach: [{ pid: number; start_time: number; source: string; target: string }, Record<string, never>]
  stop: [RuntimeRef & { pid?: number; start_time?: number }, { existed: boolean }]
  /** `pid` ends with the program and, killed, takes it along. It outlives the hand and the engine. */
  machine_start: [MachineProgram, { pid: number; start_time: number }]
  machine_stop: [
    { pid?: number; start_time?: number; record: string; cgroup: string | null; sockets?: string[] },
    { existed: boolean },
  ]
  /** How fast this processor's time stamp counter runs; takes 20 ms. */
  tsc: [Record<string, never>, { khz: number }]
  jail_make: [Jail, Record<string, never>]
  jail_remove: [{ dir: string; sockets: string }, Record<string, never>]
  changes: [
    { lowers: string[]; upper: string; limit: number },
    { added: number; modified: number; deleted: number; entries: Change[]; truncated: boolean },
  ]
  export: [
    { root: string; path: string; output: string; overwrite: boolean; owner: Owner; apart: string[] },
    { kind: 'file' | 'directory' | 'symlink'; files: number; bytes: number; skipped: Skipped[] },
  ]
  /** An export of a tar that whoever listens on the socket pours in; `path` is what was asked for on the other side. */
  export_stream: [
    {
      socket: string
      path: string
      output: string
      overwrite: boolean
      owner: Owner
      max_entries: number
      max_bytes: number
      apart: string[]
    },
    { kind: 'file' | 'directory' | 'symlink'; files: number; bytes: number; skipped: Skipped[] },
  ]
  /** A layer directory as an OCI layer tar; `ids` are those on disk that the tar calls 0 and up. */
  pack: [{ source: string; dest: string; ids: Idmap | null }, LayerTar]
  unpack: [
    { source: string; dest: string; ids: Idmap | null; max_entries: number; max_bytes: number },
    LayerTar,
  ]
  /** A sparse ext4 with the folders that a machine's stacks lie in. */
  image_create: [{ output: string; size_mib: number; owner: Owner }, { ms: number; bytes: number }]
  /** A hole of that many bytes, for an image that arrives later. */
  image_placeholder: [{ output: string; size: number; owner: Owner }, Record<string, never>]
  /** A directory as erofs; with `keep_size` into a placeholder, which a machine may have open. */
  image_seal: [
    { source: string; output: string; ids: Idmap | null; keep_size: boolean; owner: Owner },
    { ms: number; bytes: number },
  ]
  image_usage: [{ path: string }, { allocated: number; length: number }]
  remove: [{ path: string }, Record<string, never>]
  usage: [{ path: string }, { bytes: number; entries: number }]
}
export type HandOperation = keyof HandOperations
export interface HandProgress {
  text?: string
  files?: number
  bytes?: number
  /** Bytes of an archive's file, of `total`. */
  read?: number
  /** With text: how far it has come, of how many where that is known. */
  done?: number
  total?: number
  unit?: 'bytes' | 'packages'
}

export interface CallOptions {
  signal?: AbortSignal
  onProgress?: (progress: HandProgress) => void
}
export type Hand = <O extends HandOperation>(
  op: O,
  args: HandOperations[O][0],
  options?: CallOptions,
) => Promise<HandOperations[O][1]>
