/** Folders that only this user may enter: made, or found to be so. */
import { existsSync, lstatSync, mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { PyroError } from '../contract/errors.ts'

/**
 * Makes the folder with mode 0700. One below /tmp may have been made by anybody, and whoever owns it owns the sockets in
 * it: it has to be a real folder, ours, and closed to others.
 *
 * @throws home_unsuitable
 */
export function privateFolder(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 })
  requireOwn(path)
  if (dirname(dirname(path)) === '/tmp') requireOwn(dirname(path))
}

/** For who only connects: a folder that is there has to be safe. @throws home_unsuitable */
export function requirePrivate(path: string): void {
  if (dirname(dirname(path)) !== '/tmp' || !existsSync(path)) return
  requireOwn(dirname(path))
  requireOwn(path)
}

/** @throws home_unsuitable */
function requireOwn(path: string): void {
  const stat = lstatSync(path)
  const open = (stat.mode & 0o077) !== 0
  if (stat.isDirectory() && stat.uid === process.geteuid?.() && !open) return
  const how = !stat.isDirectory()
    ? 'it is no folder'
    : open
      ? 'others may enter it'
      : 'it belongs to somebody else'
  throw new PyroError('home_unsuitable', `${path} is not safe to keep sockets in: ${how}.`, {
    hint: 'Remove it, or choose a shorter PYRO_HOME: its sockets then lie in the home itself.',
  })
}
