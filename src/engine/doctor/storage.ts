/** Where state lies: what its file system can do, how much room there is, and what may be run from it. */
import { type Finding, fine, sysctl } from './finding.ts'
import type { Host } from './host.ts'
import { containerOf } from './surroundings.ts'

const GIB = 2 ** 30
/** A small environment with its image, and a workspace. */
const LEAST_BYTES = 2 * GIB
const LEAST_FILES = 100_000

/** What the native binary found by trying. */
export interface Abilities {
  type: string
  overlay: boolean
  reason?: string
  reflink: boolean
}

interface Mount {
  path: string
  type: string
  options: string[]
}

/** Lines of /proc/self/mounts (fstab(5)): a blank in a path is \040. */
function mounts({ read }: Host): Mount[] {
  return (read('/proc/self/mounts') ?? '').split('\n').flatMap((line) => {
    const [, path, type, options] = line.split(' ')
    if (path === undefined || type === undefined || options === undefined) return []
    const plain = path.replace(/\\([0-7]{3})/g, (_, octal) => String.fromCharCode(Number.parseInt(octal, 8)))
    return [{ path: plain, type, options: options.split(',') }]
  })
}

/** The mount that holds a path: the deepest, and of these the last. */
function mountOf(host: Host, path: string): Mount | undefined {
  const above = ({ path: mount }: Mount) => mount === '/' || path === mount || path.startsWith(`${mount}/`)
  return mounts(host)
    .filter(above)
    .reduce<Mount | undefined>(
      (best, one) => (one.path.length >= (best?.path.length ?? 0) ? one : best),
      undefined,
    )
}

export function home(host: Host, path: string, { type, overlay, reason, reflink }: Abilities): Finding {
  const better = elsewhere(host, path)
  if (!overlay)
    return {
      status: 'missing',
      why: `${path} is on ${type}, which cannot hold overlay layers${reason === undefined ? '' : ` (${reason})`}.`,
      command: better,
    }
  if (type === 'tmpfs')
    return {
      status: 'weaker',
      why: `${path} is on tmpfs: workspaces are kept in memory and are gone after a restart.`,
      command: better,
    }
  if (!reflink)
    return {
      status: 'slower',
      why: `${path} is on ${type} without reflinks: seeds are copied byte by byte.`,
      command: better,
    }
  return fine(`${path} is on ${type}, with overlays and reflinks`)
}

/** Where state would lie better: a file system of this machine that shares blocks, else one in a file. */
function elsewhere(host: Host, path: string): string {
  const better = mounts(host).find(
    (mount) =>
      ['btrfs', 'xfs', 'bcachefs'].includes(mount.type) &&
      host.writable(mount.path) &&
      !path.startsWith(mount.path),
  )
  if (better !== undefined) return `export PYRO_HOME=${better.path.replace(/\/$/, '')}/pyro`
  if (containerOf(host) !== null && mountOf(host, path)?.type === 'overlay')
    return `docker run --volume pyro:${path} IMAGE`
  const file = '/var/lib/pyro.xfs'
  return `sudo sh -c 'truncate -s 40G ${file} && mkfs.xfs -q ${file} && mkdir -p /srv/pyro && mount -o loop ${file} /srv/pyro && install -d -o ${host.user.name} /srv/pyro/${host.user.name}' && export PYRO_HOME=/srv/pyro/${host.user.name}`
}

export function space(host: Host, folders: string[]): Finding {
  const rooms = folders.flatMap((path) => {
    const room = host.room(path)
    return room === null ? [] : [{ path, ...room }]
  })
  for (const { path, bytes, files } of rooms) {
    const what =
      bytes < LEAST_BYTES ? `${(bytes / GIB).toFixed(1)} GiB` : files < LEAST_FILES ? `${files} files` : null
    if (what !== null)
      return {
        status: 'weaker',
        why: `There is room for ${what} in ${path}: building an environment or a large seed may not end.`,
        command: `df -h ${path} && du -sh ${folders.join(' ')}`,
      }
  }
  const least = Math.min(...rooms.map(({ bytes }) => bytes))
  return fine(rooms.length === 0 ? 'not known' : `${Math.floor(least / GIB)} GiB free`)
}

/** The native binary is run here and, bound read-only, in every sandbox. */
export function programs(host: Host, native: string): Finding {
  const mount = mountOf(host, native)
  if (mount?.options.includes('noexec'))
    return {
      status: 'missing',
      why: `${mount.path} is mounted noexec, and the native binary lies in it (${native}).`,
      command: `sudo mount -o remount,exec ${mount.path}`,
    }
  if (mountOf(host, '/tmp')?.options.includes('noexec'))
    return fine('may be run where they lie; /tmp is noexec, which Pyro does not mind')
  return fine('may be run where they lie')
}

const LEAST_WATCHES = 65_536
const LEAST_INSTANCES = 128

/** One user's processes share these, inside sandboxes too. */
export function watchers({ read }: Host): Finding {
  const value = (name: string) => Number(read(`/proc/sys/fs/inotify/${name}`) ?? Number.NaN)
  const watches = value('max_user_watches')
  const instances = value('max_user_instances')
  const weaker = (what: string, setting: string): Finding => ({
    status: 'weaker',
    why: `fs.inotify.${what}: programs that watch files in containers, such as test runners and bundlers, soon fail.`,
    command: sysctl(setting),
  })
  if (watches < LEAST_WATCHES)
    return weaker(`max_user_watches is ${watches}`, 'fs.inotify.max_user_watches=524288')
  if (instances < LEAST_INSTANCES)
    return weaker(`max_user_instances is ${instances}`, 'fs.inotify.max_user_instances=512')
  return fine(`${watches} files may be watched`)
}

export function node({ node: version }: Host): Finding {
  if (Number(version.split('.')[0]) >= 24) return fine(version)
  return { status: 'missing', why: `Node ${version} is older than 24.`, command: 'npm install --global node' }
}
