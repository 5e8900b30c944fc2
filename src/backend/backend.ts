/** What every backend must do. It knows nothing of layers beyond the mounts or disks it is given. */
import type { Duplex } from 'node:stream'
import type { Workspace } from '../contract/fields.ts'
import type { Idmap, NewFolder, Owner, StackMount } from '../hand/protocol.ts'
import type { SandboxRecord } from '../store/workspaces.ts'

export interface SandboxSpec {
  id: string
  hostname: string
  /** Folder of the workspace on this machine. */
  dir: string
  limits: Workspace['limits']
  medium: DirectoryMedium | DiskMedium
  /** Called, where it is early enough to be of use, when connections are taken that will wait for the agent. */
  onReachable?: () => void
}

/** File systems of this machine: what a container is given. */
export interface DirectoryMedium {
  kind: 'directory'
  /** What the hand makes and mounts first, in the request that starts the container: passed on unread. */
  folders: NewFolder[]
  mounts: StackMount[]
  /** Mounted root file system, as a path in the holder's mount namespace. */
  root: string
  /** Mounted tree that is /workspace from the start; null where it is attached later. */
  workspace: string | null
  /** Trees of this machine that are visible read-only inside, at the same path. */
  binds: string[]
  /** Paths inside that are covered by an empty read-only folder. */
  masked: string[]
  /** Folder that the agent keeps its spools in. */
  spool: string
  /** Ids inside, as ids of the holder's namespace. */
  ids: Idmap
}

/** Images that a machine mounts itself: this machine's kernel never reads what a guest wrote. */
export interface DiskMedium {
  kind: 'disk'
  disks: MachineDisk[]
  /** Who the machine's process runs as, in ids of the holder's namespace; it must be able to open the images. */
  owner: Owner
  /** A machine that only reads: every file system is mounted read-only, nothing of the user's runs. */
  inspect: boolean
}

export interface MachineDisk {
  /** env: the root environment (erofs); base: the baseline (erofs); changes: everything written (ext4). */
  name: 'env' | 'base' | 'changes'
  path: string
  readOnly: boolean
}

/** Connections of one protocol, so that none starves another: requests, output and trees, and the network's streams. */
export type ChannelClass = 'control' | 'bulk' | 'network'

/** Whether a backend can start anything here. */
export interface Availability {
  usable: boolean
  /** Hardware runs the guest's instructions; true of containers. Emulation is taken only when asked for. */
  hardware: boolean
  /** Why it is not usable, or not by hardware. */
  reason: string | null
  /** The one command that would better it. */
  hint: string | null
}

export interface Backend {
  name: Workspace['backend']
  isolation: Workspace['isolation']
  executionMode: string
  /** What it is given. */
  medium: SandboxSpec['medium']['kind']
  /** Really tried, and remembered: the first answer may take as long as a start. */
  availability: () => Promise<Availability>
  /** Starts the sandbox, all or nothing. */
  start: (spec: SandboxSpec) => Promise<SandboxRecord>
  /** Whether the recorded sandbox is alive; cheap, and never asks the sandbox. */
  find: (sandbox: SandboxRecord) => boolean
  /** Puts a mounted tree of this machine at a path inside a running sandbox; absent where the guest mounts by itself. */
  attach?: (sandbox: SandboxRecord, source: string, target: string) => Promise<void>
  /** A byte stream to the agent inside, at its first byte. Errors are the stream's. @throws guest_unreachable */
  connect: (id: string, use: ChannelClass) => Duplex | Promise<Duplex>
  /** Ends the sandbox, whatever its state, and removes what it had on this machine. Repeatable. */
  stop: (id: string, sandbox: SandboxRecord | null) => Promise<void>
  /** What of the asked limits can be enforced here. */
  limits: (asked: {
    vcpu_count?: number | undefined
    mem_mib?: number | undefined
    pids_limit?: number | undefined
    disk_mib?: number | undefined
  }) => Promise<Workspace['limits']>
}
