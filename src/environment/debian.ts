/**
 * A Debian of its own: installed by mmdebstrap from the archives that this machine's apt uses, as a sealed directory, and
 * as an image made of that. It differs from one machine to the next only by the versions that the archives had.
 */
import { createHash } from 'node:crypto'
import { accessSync, constants, existsSync } from 'node:fs'
import { join } from 'node:path'
import { sandboxOwner } from '../hand/index.ts'
import type { Hand, Idmap, Owner } from '../hand/protocol.ts'
import { DEBIAN_ARCH, debianSources, proxyVariables, transportSettings } from './apt.ts'
import { type BuildOptions, COMMON_FILES, type Environment, toHand } from './environment.ts'

export interface DebianDefinition {
  name: string
  description: string
  suite: string
  /** Day of the suite's release: what the build itself writes is dated so. */
  released: string
  /** Variant of mmdebstrap. */
  variant: string
  packages: string[]
}

export const DEBIAN_12_BASE: DebianDefinition = {
  name: 'debian:12-base',
  description: 'Debian 12 with its required packages, apt and procps.',
  suite: 'bookworm',
  released: '2023-06-10',
  variant: 'minbase',
  packages: ['procps'],
}

const FILES = {
  ...COMMON_FILES,
  'etc/hostname': 'localhost\n',
  // Empty: each workspace gets one of its own, or none.
  'etc/machine-id': '',
}
const COMMANDS = ['chroot "$1" useradd --create-home --uid 1000 --shell /bin/bash pyro']
/** What the build leaves that says when or how it ran. */
const REMOVE = [
  'etc/apt/apt.conf.d/99mmdebstrap',
  'etc/dpkg/dpkg.cfg.d/99mmdebstrap',
  ...['group', 'gshadow', 'passwd', 'shadow', 'subgid', 'subuid'].map((name) => `etc/${name}-`),
  'var/cache/debconf/config.dat-old',
  'var/cache/debconf/templates.dat-old',
  'var/cache/ldconfig/aux-cache',
  'var/log/apt',
]
/** Changes when an environment of the same definition is laid out differently. */
const LAYOUT = 1

export interface DebianOptions {
  hand: Hand
  cache: string
}

export function debianEnvironment(definition: DebianDefinition, { hand, cache }: DebianOptions): Environment {
  const { name, description, suite, released, variant, packages } = definition
  const folder = join(cache, 'environments', name.replace(/[^a-z0-9.]+/g, '-'))
  const place = (owner: Owner) => {
    const key = JSON.stringify([LAYOUT, DEBIAN_ARCH, definition, owner, FILES, COMMANDS, REMOVE])
    const dir = join(folder, createHash('sha256').update(key).digest('hex').slice(0, 16))
    return { dir, root: join(dir, 'root'), image: join(dir, 'root.erofs') }
  }

  async function build(owner: Owner, options: BuildOptions = {}) {
    const { dir, root } = place(owner)
    if (!existsSync(dir)) {
      options.progress?.(`building ${name}`)
      const [ids, sources, settings] = await Promise.all([
        idsOf(hand, owner),
        debianSources(suite),
        transportSettings(),
      ])
      const extra = {
        dirs: [{ path: 'workspace', mode: 0o755 }],
        links: [],
        files: Object.entries(FILES).map(([path, content]) => ({ path, mode: 0o644, content })),
        copies: [],
      }
      await hand(
        'debian_root',
        {
          output: dir,
          ids,
          suite,
          variant,
          packages,
          sources,
          settings,
          env: proxyVariables(),
          epoch: Date.parse(released) / 1000,
          commands: COMMANDS,
          extra,
          remove: REMOVE,
        },
        toHand(options, name),
      )
    }
    return { lowers: [root], binds: [], masked: [] }
  }

  const backends = ['oci', 'qemu', 'firecracker']

  return {
    name,
    backends,
    describe(owner) {
      const { dir, root } = place(owner)
      const ready = existsSync(dir)
      const reason = ready ? null : whyNot()
      return {
        name,
        description,
        backends,
        state: ready ? 'ready' : reason === null ? 'cold' : 'unavailable',
        reason,
        read_only: [],
        copied: [],
        made: Object.keys(FILES).map((path) => `/${path}`),
        masked: [],
        cache_path: root,
      }
    },
    build,
    async image(owner, options = {}) {
      await build(owner, options)
      const { root, image } = place(owner)
      if (existsSync(image)) return image
      options.progress?.(`making an image of ${name}`)
      await hand(
        'erofs',
        { source: root, output: image, ids: await idsOf(hand, owner) },
        toHand(options, name),
      )
      return image
    },
  }
}

/** Null where the owners on disk are those inside. */
async function idsOf(hand: Hand, owner: Owner): Promise<Idmap | null> {
  if (owner.uid === 0) return null
  return { base: owner.uid, size: sandboxOwner(await hand('hello', {})).size }
}

function whyNot(): string | null {
  if (DEBIAN_ARCH === null) return `Debian is not built here for ${process.arch}`
  const folders = ['/usr/local/bin', '/usr/bin', ...(process.env['PATH'] ?? '').split(':')]
  if (folders.some((folder) => executable(join(folder, 'mmdebstrap')))) return null
  return 'mmdebstrap is not installed: sudo apt-get install mmdebstrap'
}

function executable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
