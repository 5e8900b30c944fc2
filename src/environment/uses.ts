/**
 * Which build a workspace is made of: a link in its own folder says so, for whoever starts it again, and one in the build's
 * folder leads back, so that nobody who shares the cache removes the build while the workspace's folder is there.
 */
import { createHash } from 'node:crypto'
import { readlinkSync, renameSync, symlinkSync } from 'node:fs'
import { basename, join } from 'node:path'
import { PyroError } from '../contract/errors.ts'
import type { Hand } from '../hand/protocol.ts'
import type { BuildUser } from './environment.ts'

const LINK = 'environment'
const TRIES = 5

/** The build that a workspace's folder names; null where it names none. */
export function recordedBuild(dir: string): string | null {
  try {
    return readlinkSync(join(dir, LINK))
  } catch {
    return null
  }
}

/**
 * Keeps the build that the workspace was made of, or else the one that `choose` gives. Only where somebody emptied the cache
 * by hand is the first one gone: then it is built again, and is the same if the archives still have the same packages.
 * @throws what `choose` throws
 */
export async function keepBuild<B extends { dir: string }>(
  hand: Hand,
  user: BuildUser | undefined,
  at: (dir: string) => B,
  choose: () => Promise<B>,
): Promise<B> {
  if (user === undefined) return choose()
  const recorded = recordedBuild(user.dir)
  let build = recorded === null ? await choose() : at(recorded)
  for (let tries = 0; tries < TRIES; tries++) {
    const { there } = await hand('build_use', { build: build.dir, name: nameOf(user), dir: user.dir })
    if (there && build.dir !== recorded) record(user.dir, build.dir)
    if (there) return build
    // Somebody removed it between the two steps: it is made again.
    build = await choose()
  }
  throw new PyroError(
    'environment_damaged',
    `What ${user.id} is made from is removed as fast as it is built.`,
  )
}

function record(dir: string, build: string): void {
  const temp = join(dir, `.${LINK}-${process.pid}`)
  symlinkSync(build, temp)
  renameSync(temp, join(dir, LINK))
}

/** Ids are unique within a home; homes share a cache. */
function nameOf({ id, dir }: BuildUser): string {
  const home = createHash('sha256').update(dir).digest('hex').slice(0, 8)
  return `${basename(id)}@${home}`
}
