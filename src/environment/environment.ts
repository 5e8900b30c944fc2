import type { HandProgress, Owner } from '../hand/protocol.ts'

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

export interface BuildOptions {
  signal?: AbortSignal
  /** Told each step. */
  progress?: (text: string) => void
}

export interface Environment {
  name: string
  /** Names of the backends it can be run by. */
  backends: readonly string[]
  describe: (owner: Owner) => EnvironmentDescription
  /** Builds what is missing, once; two at a time make one. */
  build: (owner: Owner, options?: BuildOptions) => Promise<BuiltEnvironment>
  /** The same as a read-only image (erofs), and its path; absent where the environment cannot leave this machine. */
  image?: (owner: Owner, options?: BuildOptions) => Promise<string>
}

/** Files that every environment has alike. */
export const COMMON_FILES = {
  'etc/hosts': '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n',
  'etc/resolv.conf': '# A workspace has no network device.\n',
}

/** The same options as a call of the hand takes them. */
export function toHand({ signal, progress }: BuildOptions, about: string) {
  return {
    ...(signal === undefined ? {} : { signal }),
    onProgress: ({ text }: HandProgress) => {
      if (text !== undefined) progress?.(`${about}: ${text}`)
    },
  }
}
