/**
 * What the archives of a suite offer, as far as this machine's own package lists know: no network is used, and nothing of
 * the machine's other sources counts.
 */
import { createHash } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { ask, debianSources } from './apt.ts'
import type { DebianDefinition } from './definitions.ts'
import type { BuildCost, BuildRecord } from './environment.ts'

/** Where apt keeps the lists that `apt-get update` fetched. */
const LISTS = '/var/lib/apt/lists'
/** Packages that are named; of further ones the number. */
const NAMED = 4

/** Asks apt as if the machine had the suite's archives and no others. Its caches stay as they are. */
async function askSuite(suite: string, program: string, args: string[]): Promise<string> {
  const folder = mkdtempSync(join(tmpdir(), 'pyro-apt-'))
  try {
    const list = join(folder, 'sources.list')
    writeFileSync(list, `${(await debianSources(suite)).join('\n')}\n`)
    const settings = {
      'Dir::Etc::SourceList': list,
      'Dir::Etc::SourceParts': '/dev/null',
      'Dir::Cache::pkgcache': '',
      'Dir::Cache::srcpkgcache': '',
      'Debug::NoLocking': '1',
    }
    return await ask(program, [
      ...Object.entries(settings).flatMap(([key, value]) => ['-o', `${key}=${value}`]),
      ...args,
    ])
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** What building would fetch and fill; null where the lists do not have all of it. */
export async function costOf({ suite, packages }: DebianDefinition): Promise<BuildCost | null> {
  // Minbase is what is essential, what Debian calls required, and apt.
  const wanted = ['?essential', '?priority(required)', 'apt', ...packages]
  const how = [
    '--print-uris',
    '--yes',
    '--no-install-recommends',
    '-o',
    'Dir::State::status=/dev/null',
    'install',
  ]
  const said = await askSuite(suite, 'apt-get', [...how, ...wanted]).catch(() => '')
  const disk = /^After this operation, ([\d,.]+) ([kMG]?B) of additional disk space/m.exec(said)
  // 'URI' FILE BYTES CHECKSUM
  const sizes = [...said.matchAll(/^'[^']*' \S+ (\d+)/gm)].map(([, bytes]) => Number(bytes))
  if (disk === null || sizes.length === 0) return null
  const unit = { B: 1, kB: 1e3, MB: 1e6, GB: 1e9 }[disk[2]!] ?? 1
  return {
    packages: sizes.length,
    download_bytes: sizes.reduce((sum, one) => sum + one, 0),
    disk_bytes: Math.round(Number(disk[1]!.replaceAll(',', '')) * unit),
  }
}

/**
 * Which packages of a build the lists offer newer; null where none. Only lists that are newer than those of the build
 * count. Asks apt only when they differ.
 */
export async function newerPackages(
  suite: string,
  { snapshot, packages }: Pick<BuildRecord, 'snapshot' | 'packages'>,
): Promise<string | null> {
  if (!snapshot.some(isOlder)) return null
  const suites = new Set(snapshot.map(({ codename }) => codename))
  const said = await askSuite(suite, 'apt-cache', ['madison', ...packages.map(({ name }) => name)])
  const offered = new Map<string, string>()
  for (const line of said.split('\n')) {
    // PACKAGE | VERSION | URI SUITE/COMPONENT ARCHITECTURE Packages, the newest first.
    const [name = '', version = '', where = ''] = line.split('|').map((word) => word.trim())
    const from = where.split(' ')[1]?.split('/')[0] ?? ''
    if (suites.has(from) && !offered.has(name)) offered.set(name, version)
  }
  const newer = packages.filter(({ name, version }) => (offered.get(name) ?? version) !== version)
  if (newer.length === 0) return null
  const named = newer.slice(0, NAMED).map(({ name, version }) => `${name} ${version} -> ${offered.get(name)}`)
  const more = newer.length > NAMED ? ` and ${newer.length - NAMED} more` : ''
  return `the archives offer other versions of ${newer.length} packages: ${named.join(', ')}${more}`
}

/** Whether this machine has a newer list of the archive than the build had. */
function isOlder({ date, sha256, file }: BuildRecord['snapshot'][number]): boolean {
  let list: Buffer
  try {
    list = readFileSync(join(LISTS, file))
  } catch {
    return false
  }
  if (createHash('sha256').update(list).digest('hex') === sha256) return false
  const found = /^Date: (.*)$/m.exec(list.subarray(0, 65_536).toString('latin1'))?.[1] ?? ''
  return Date.parse(found) > Date.parse(date)
}

/** A word for what this machine's lists are at the moment, to remember answers by. */
export function listsNow({ snapshot }: Pick<BuildRecord, 'snapshot'>): string {
  return snapshot.map((one) => `${one.file} ${isOlder(one)}`).join(' ')
}
