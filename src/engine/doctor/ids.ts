/** The subordinate ids of an ordinary user, and what maps them. */
import { type Finding, fine } from './finding.ts'
import type { Host } from './host.ts'
import { installing } from './tools.ts'

/** As many as a system of files may use: 0 to 65535. */
const WANTED = 65_536
const FIRST = 100_000

interface Range {
  owner: string
  start: number
  count: number
}

export function subordinateIds(host: Host): Finding {
  const { user, read, find } = host
  if (user.uid === 0) return fine('as root every sandbox has a range of its own')
  if (find('newuidmap') === null || find('newgidmap') === null)
    return {
      status: 'missing',
      why: 'newuidmap and newgidmap are not installed: they map the ids of sandboxes.',
      command: installing(host, 'newuidmap'),
    }
  const files = ['/etc/subuid', '/etc/subgid'].map((path) => ranges(read(path) ?? ''))
  const own = files.map((all) => all.filter(({ owner }) => owner === user.name || owner === String(user.uid)))
  const least = Math.min(...own.map((mine) => mine.reduce((sum, { count }) => sum + count, 0)))
  if (least >= WANTED) return fine(`${least} of them; sandboxes share these`)
  const start = Math.max(FIRST, ...files.flat().map(({ start, count }) => start + count))
  const range = `${start}-${start + WANTED - 1}`
  return {
    status: least === 0 ? 'missing' : 'weaker',
    why:
      least === 0
        ? `The user ${user.name} has no range of ids in /etc/subuid and /etc/subgid.`
        : `The user ${user.name} has ${least} subordinate ids: inside, files of users beyond cannot exist.`,
    command: `sudo usermod --add-subuids ${range} --add-subgids ${range} ${user.name}`,
  }
}

/** Lines `name:first:count` (subuid(5)). */
function ranges(text: string): Range[] {
  return text.split('\n').flatMap((line) => {
    const [owner = '', start, count] = line.trim().split(':')
    const range = { owner, start: Number(start), count: Number(count) }
    return Number.isSafeInteger(range.start) && range.count > 0 ? [range] : []
  })
}
