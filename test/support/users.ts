/** An ordinary user made for a test, with a range of subordinate ids, and taken away again. */
import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir, userInfo } from 'node:os'
import { join, resolve } from 'node:path'

export const ROOT = resolve(import.meta.dirname, '../..')
export const isRoot = userInfo().uid === 0

export interface User {
  name: string
  uid: number
  gid: number
  home: string
}

export function addUser(name: string): User {
  execFileSync('useradd', ['--create-home', '--shell', '/bin/sh', name])
  const [uid, gid] = ['-u', '-g'].map((flag) =>
    Number(execFileSync('id', [flag, name], { encoding: 'utf8' })),
  )
  return { name, uid: uid!, gid: gid!, home: `/home/${name}` }
}

export function removeUser({ name }: User): void {
  execFileSync('userdel', ['--remove', '--force', name], { stdio: 'ignore' })
  if (copy !== undefined) rmSync(copy, { recursive: true, force: true })
  copy = undefined
}

let copy: string | undefined

/** The checkout as this user can read it: where it lies in a closed folder, a copy of hard links elsewhere. */
export function checkoutFor({ uid, gid }: User): string {
  if (copy !== undefined) return join(copy, 'checkout')
  const readable = spawnSync('test', ['-r', join(ROOT, 'package.json')], { uid, gid }).status === 0
  if (readable) return ROOT
  copy = mkdtempSync(join(tmpdir(), 'pyro-copy-'))
  chmodSync(copy, 0o755)
  execFileSync('cp', ['-a', '--link', ROOT, join(copy, 'checkout')])
  chmodSync(join(copy, 'checkout'), 0o755)
  return join(copy, 'checkout')
}
