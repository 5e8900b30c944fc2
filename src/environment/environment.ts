import type { HandProgress, Owner } from '../hand/protocol.ts'

/** A root file system, ready to be stacked. */
export interface BuiltEnvironment {
  /** The build's folder in the cache. */
  dir: string
  /** Sealed layers, the topmost first. */
  lowers: string[]
  /** Trees of this machine bound read-only at the same path. */
  binds: string[]
  /** Paths hidden inside those trees. */
  masked: string[]
}

/**
 * cold: nothing is built. warm: what is built is what would be built now. stale: it would differ. damaged: it is not what
 * was built. unavailable: not built, and cannot be here.
 */
export type EnvironmentState = 'cold' | 'warm' | 'stale' | 'damaged' | 'unavailable'

export interface EnvironmentDescription {
  name: string
  description: string
  backends: string[]
  state: EnvironmentState
  /** Why it is stale, damaged or unavailable. */
  reason: string | null
  read_only: string[]
  copied: string[]
  made: string[]
  masked: string[]
  cache_path: string | null
}

/** What is told on the way: a step, or how far one has come. */
export interface BuildProgress {
  text: string
  done?: number
  total?: number
  unit?: 'bytes' | 'packages'
}

/** A workspace that is made of a build, which stays as long as the workspace's folder does. */
export interface BuildUser {
  id: string
  dir: string
}

export interface BuildOptions {
  signal?: AbortSignal
  progress?: (progress: BuildProgress) => void
  /** A workspace that was made of a build before gets the same again. */
  user?: BuildUser
}

/** What making an environment takes, as far as this machine knows without asking anybody. */
export interface BuildCost {
  packages: number
  download_bytes: number
  disk_bytes: number
}

/** One build in the cache, as it was made. */
export interface BuildRecord {
  id: string
  dir: string
  made_at: number
  /** "sha256:" and hex digits: OCI's diff id of the tree. */
  checksum: string
  entries: number
  bytes: number
  packages: { name: string; version: string; architecture: string }[]
  snapshot: { codename: string; date: string; sha256: string; file: string }[]
}

/** Environments that are built, and can be built anew. */
export interface Builds {
  /** Name of the build that new workspaces are made of, readable or not; null where there is none. */
  standing: (owner: Owner) => string | null
  /** What it says of itself; null where there is none, or it cannot be read. */
  current: (owner: Owner) => BuildRecord | null
  /** Looks at every entry of it; with `full` reads all content too. What is wrong, or null. */
  check: (owner: Owner, options: { full: boolean }) => Promise<string | null>
  /** Why it would be made differently now; null where it would not. Without network. */
  outdated: (owner: Owner) => Promise<string | null>
  /** Null where this machine's package lists cannot tell. */
  cost: () => Promise<BuildCost | null>
  /** Makes a new build the current one, unless another than `replace` is that already. */
  renew: (owner: Owner, replace: string, options?: BuildOptions) => Promise<BuiltEnvironment>
}

export interface Environment {
  name: string
  /** Names of the backends it can be run by. */
  backends: readonly string[]
  /** Cheap: asks neither apt nor the hand, and knows what `builds` found when it was last asked. */
  describe: (owner: Owner) => EnvironmentDescription
  /** Builds what is missing, once; two at a time make one. @throws environment_damaged, and what building can say */
  build: (owner: Owner, options?: BuildOptions) => Promise<BuiltEnvironment>
  /** The same as a read-only image (erofs), and its path; absent where the environment cannot leave this machine. */
  image?: (owner: Owner, options?: BuildOptions) => Promise<string>
  /** Absent where there is nothing to download. */
  builds?: Builds
}

/** Files that every environment has alike. */
export const COMMON_FILES = {
  'etc/hosts': '127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n',
  'etc/resolv.conf': '# A workspace has no network device.\n',
  // One user's machine: whoever owns the files of its repositories, Git works in them.
  'etc/gitconfig': '[safe]\n\tdirectory = *\n',
}

/** The same options as a call of the hand takes them. */
export function toHand({ signal, progress }: BuildOptions, about: string) {
  return {
    ...(signal === undefined ? {} : { signal }),
    onProgress: ({ text, done, total, unit }: HandProgress) => {
      if (text === undefined) return
      progress?.({
        text: `${about}: ${text}`,
        ...(done === undefined ? {} : { done }),
        ...(total === undefined ? {} : { total }),
        ...(unit === undefined ? {} : { unit }),
      })
    },
  }
}
