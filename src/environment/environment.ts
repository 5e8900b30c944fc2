import type { Owner } from '../hand/protocol.ts'

/** A root file system, ready to be stacked. */
export interface BuiltEnvironment {
  /** Sealed layers, the topmost first. */
  lowers: string[]
  /** Trees of this machine bound read-only at the same path. */
  binds: string[]
  /** Paths hidden inside those trees. */
  masked: string[]
}

export interface EnvironmentDescription {
  name: string
  description: string
  backends: string[]
  state: 'ready' | 'cold' | 'unavailable'
  reason: string | null
  read_only: string[]
  copied: string[]
  made: string[]
  masked: string[]
  cache_path: string | null
}

export interface Environment {
  name: string
  /** Names of the backends it can be run by. */
  backends: readonly string[]
  describe: (owner: Owner) => EnvironmentDescription
  /** Builds what is missing, once; two at a time make one. */
  build: (owner: Owner) => Promise<BuiltEnvironment>
  /** The same as an erofs image, for machines; absent where it cannot be one. */
  image?: (owner: Owner) => Promise<string>
}
