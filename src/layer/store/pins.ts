/**
 * The sealed layers that a workspace was made from, as links in its folder: an environment that is built anew lies elsewhere,
 * and what was written belongs above the one it was written above.
 */
import { existsSync, readdirSync, readlinkSync, symlinkSync } from 'node:fs'
import { join } from 'node:path'

const NAME = /^env\.(\d+)$/

/** The topmost first. */
export function pin(dir: string, lowers: string[]): void {
  lowers.forEach((path, at) => {
    symlinkSync(path, join(dir, `env.${at}`))
  })
}

/** Null where one of them is there no more, or none was noted. */
export function pinnedIn(dir: string): string[] | null {
  const numbers = readdirSync(dir)
    .map((name) => Number(NAME.exec(name)?.[1] ?? Number.NaN))
    .filter((number) => !Number.isNaN(number))
    .sort((one, other) => one - other)
  const paths = numbers.map((number) => readlinkSync(join(dir, `env.${number}`)))
  return paths.length > 0 && paths.every((path) => existsSync(path)) ? paths : null
}
