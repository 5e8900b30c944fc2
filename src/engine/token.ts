/** The bearer token of HTTP: a file that only the user of the engine can read. */
import { randomBytes } from 'node:crypto'
import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs'
import { dirname, join } from 'node:path'
import { PyroError } from '../contract/errors.ts'

const RANDOM_BYTES = 32
/** By its prefix a token that got into a text can be found there. */
const FORM = /^pyro_[A-Za-z0-9_-]{43}$/

export const tokenPath = (home: string): string => join(home, 'http-token')

const newPath = (path: string): string => `${path}.new`

/** Undefined when there is none yet. @throws home_unsuitable where others could have read or written it */
export function readToken(path: string): string | undefined {
  const fd = openFile(path)
  if (fd === undefined) return undefined
  try {
    const stat = fstatSync(fd)
    const why = !stat.isFile()
      ? 'it is no file'
      : stat.uid !== process.geteuid?.()
        ? 'it belongs to somebody else'
        : (stat.mode & 0o077) !== 0
          ? 'others may read it'
          : undefined
    if (why !== undefined) throw unsafe(path, why)
    const token = stat.size > 256 ? '' : readFileSync(fd, 'utf8').trim()
    if (!FORM.test(token)) throw unsafe(path, 'it holds no token')
    return token
  } finally {
    closeSync(fd)
  }
}

function openFile(path: string): number | undefined {
  try {
    // Neither a link is followed nor a pipe waited for.
    return openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    if ((error as NodeJS.ErrnoException).code === 'ELOOP') throw unsafe(path, 'it is a link')
    throw error
  }
}

/** Puts a new token in the place of what is there: after a crash the file holds the old one or the new one, whole. */
export function writeToken(path: string): string {
  const token = `pyro_${randomBytes(RANDOM_BYTES).toString('base64url')}`
  removeHalf(path)
  try {
    writeWhole(openSync(newPath(path), 'wx', 0o600), `${token}\n`)
    renameSync(newPath(path), path)
    writeWhole(openSync(dirname(path), constants.O_RDONLY | constants.O_DIRECTORY))
  } catch (error) {
    removeHalf(path)
    throw error
  }
  return token
}

/** Writes, and waits for the disk; of a folder, for the names in it. */
function writeWhole(fd: number, text?: string): void {
  try {
    if (text !== undefined) writeFileSync(fd, text)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
}

/** What a killed engine left of a token that nobody was given. */
export function removeHalf(path: string): void {
  rmSync(newPath(path), { force: true })
}

function unsafe(path: string, why: string): PyroError {
  return new PyroError('home_unsuitable', `${path} is not safe as a token: ${why}.`, {
    hint: 'Make a new one with pyro daemon token --rotate.',
  })
}
