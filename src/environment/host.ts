/**
 * The environment `host`: this machine's own tools, and nothing of its user's. An allow-list: what is not named here is
 * not there. Large trees are bound read-only; of /etc a few world-readable files are copied into a sealed skeleton.
 */
import { createHash } from 'node:crypto'
import { existsSync, lstatSync, mkdirSync, readlinkSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Hand, Owner } from '../hand/protocol.ts'
import { COMMON_FILES, type Environment } from './environment.ts'
import { keepBuild } from './uses.ts'

const TREES = ['/usr', '/bin', '/sbin', '/lib', '/lib32', '/lib64', '/libx32']
const MASKED = ['/usr/local/etc']
const ETC = [
  'ld.so.cache',
  'ld.so.conf',
  'ld.so.conf.d',
  'alternatives',
  'ssl/certs',
  'ssl/openssl.cnf',
  'ca-certificates',
  'ca-certificates.conf',
  'nsswitch.conf',
  'protocols',
  'services',
  'mime.types',
  'localtime',
].map((name) => `/etc/${name}`)

const MADE = {
  'etc/passwd':
    'root:x:0:0:root:/root:/bin/sh\npyro:x:1000:1000:pyro:/home/pyro:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n',
  'etc/group': 'root:x:0:\ntty:x:5:\npyro:x:1000:\nnogroup:x:65534:\n',
  ...COMMON_FILES,
}
const FOLDERS: [string, number][] = [
  ['dev', 0o755],
  ['etc', 0o755],
  ['home', 0o755],
  ['mnt', 0o755],
  ['opt', 0o755],
  ['proc', 0o555],
  ['root', 0o700],
  ['run', 0o755],
  ['srv', 0o755],
  ['sys', 0o555],
  ['tmp', 0o1777],
  ['var', 0o755],
  ['var/cache', 0o755],
  ['var/lib', 0o755],
  ['var/log', 0o755],
  ['var/tmp', 0o1777],
  ['workspace', 0o755],
]

export interface HostEnvironmentOptions {
  hand: Hand
  cache: string
}

export function hostEnvironment({ hand, cache }: HostEnvironmentOptions): Environment {
  let building: Promise<unknown> | undefined
  const place = (owner: Owner) => join(cache, 'environments', 'host', fingerprint(owner))
  const at = (dir: string) => ({
    dir,
    lowers: [join(dir, 'root')],
    binds: boundTrees(),
    masked: MASKED.filter((masked) => existsSync(masked)),
  })

  return {
    name: 'host',
    backends: ['oci'],
    describe(owner) {
      const path = join(place(owner), 'root')
      return {
        name: 'host',
        description:
          "This machine's own tools, read-only, with an empty home and nothing of its user's; for containers only.",
        backends: ['oci'],
        state: existsSync(path) ? 'warm' : 'cold',
        reason: null,
        read_only: boundTrees(),
        copied: ETC.filter((path) => existsSync(path)),
        made: Object.keys(MADE).map((path) => `/${path}`),
        masked: MASKED.filter((path) => existsSync(path)),
        cache_path: path,
      }
    },
    build: (owner, { user } = {}) =>
      keepBuild(hand, user, at, async () => {
        const dir = place(owner)
        if (!existsSync(join(dir, 'root'))) {
          building ??= assemble(join(dir, 'root'), owner).finally(() => {
            building = undefined
          })
          await building
        }
        return at(dir)
      }),
  }

  async function assemble(dest: string, owner: Owner): Promise<void> {
    const trees = TREES.filter((path) => existsSync(path))
    const folders = [...FOLDERS, ...boundTrees().map((path): [string, number] => [path.slice(1), 0o755])]
    mkdirSync(dirname(dest), { recursive: true, mode: 0o700 })
    try {
      await hand('assemble', {
        dest,
        owner,
        dirs: folders.map(([path, mode]) => ({ path, mode })),
        links: trees.filter(isLink).map((path) => ({ path: path.slice(1), target: readlinkSync(path) })),
        files: Object.entries(MADE).map(([path, content]) => ({ path, mode: 0o644, content })),
        copies: ETC.map((path) => ({ from: path, to: path.slice(1) })),
      })
    } catch (error) {
      // Another engine with the same cache may have been quicker.
      if (!existsSync(dest)) throw error
    }
  }
}

function boundTrees(): string[] {
  return TREES.filter((path) => existsSync(path) && !isLink(path))
}

function isLink(path: string): boolean {
  return lstatSync(path).isSymbolicLink()
}

/** Changes when something copied from this machine changes, or when this file lays things out differently. */
function fingerprint(owner: Owner): string {
  const hash = createHash('sha256').update(
    JSON.stringify([1, owner, MADE, FOLDERS, TREES.map((path) => existsSync(path) && isLink(path))]),
  )
  for (const path of ETC) {
    const stat = statSync(path, { throwIfNoEntry: false, bigint: true })
    hash.update(`${path} ${stat?.mtimeNs} ${stat?.size}\n`)
  }
  return hash.digest('hex').slice(0, 16)
}
