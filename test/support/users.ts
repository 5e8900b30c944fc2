/** An ordinary user made for a test, with a range of subordinate ids, and taken away again. */
import { execFileSync } from 'node:child_process'
import { userInfo } from 'node:os'
import type { User } from './engine.ts'

export const isRoot = userInfo().uid === 0

export function addUser(name: string): User {
  execFileSync('useradd', ['--create-home', '--shell', '/bin/sh', name])
  const [uid, gid] = ['-u', '-g'].map((flag) =>
    Number(execFileSync('id', [flag, name], { encoding: 'utf8' })),
  )
  return { name, uid: uid!, gid: gid!, home: `/home/${name}` }
}

export function removeUser({ name }: User): void {
  execFileSync('userdel', ['--remove', '--force', name], { stdio: 'ignore' })
}
