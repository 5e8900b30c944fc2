/** What every backend offers. It knows nothing of layers beyond the mounts it is given. */
import type { Socket } from 'node:net'
import type { Workspace } from '../contract/fields.ts'
import type { Idmap } from '../hand/protocol.ts'
import type { SandboxRecord } from '../store/workspaces.ts'

export interface SandboxSpec {
  id: string
  hostname: string
  /** Folder of the workspace on this machine. */
  dir: string
  /** Mounted root file system, as a path in the holder's mount namespace. */
  root: string
  /** Trees of this machine that are visible read-only inside, at the same path. */
  binds: string[]
  /** Paths inside that are covered by an empty read-only folder. */
  masked: string[]
  /** Folder that the agent keeps its spools in. */
  spool: string
  /** Ids inside, as ids of the holder's namespace. */
  ids: Idmap
  limits: Workspace['limits']
}

export interface Backend {
  name: Workspace['backend']
  isolation: Workspace['isolation']
  executionMode: string
  /** Starts the sandbox, all or nothing. */
  start: (spec: SandboxSpec) => Promise<SandboxRecord>
  /** Whether the recorded sandbox is alive; cheap, and never asks the sandbox. */
  find: (sandbox: SandboxRecord) => boolean
  /** Puts a mounted tree at a path inside a running sandbox. */
  attach: (sandbox: SandboxRecord, source: string, target: string) => Promise<void>
  /** A byte stream to the agent inside. */
  connect: (id: string) => Socket
  /** Ends the sandbox, whatever its state, and removes what it had on this machine. Repeatable. */
  stop: (id: string, sandbox: SandboxRecord | null) => Promise<void>
  /** What of the asked limits can be enforced here. */
  limits: (asked: {
    vcpu_count?: number | undefined
    mem_mib?: number | undefined
    pids_limit?: number | undefined
  }) => Promise<Workspace['limits']>
}
