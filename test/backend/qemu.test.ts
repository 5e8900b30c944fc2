import { spawnSync } from 'node:child_process'
import { afterAll, describe, test } from 'vitest'
import { addUser, isRoot, removeUser, type User } from '../support/users.ts'
import { backendSuite } from './suite.ts'

const missing = ['qemu-system-x86_64', 'mmdebstrap', 'mkfs.erofs', 'mkfs.ext4'].filter(
  (tool) => spawnSync('sh', ['-c', `PATH=$PATH:/usr/sbin:/sbin command -v ${tool}`]).status !== 0,
)
const subject = { enforcement: 'full', backend: 'qemu', environment: 'debian:12-base' } as const

if (missing.length > 0)
  describe('qemu', () => {
    test.skip(`needs ${missing.join(', ')}`, () => {})
  })
else if (isRoot) {
  let user: User | undefined
  const once = () => {
    user ??= addUser(`pyrovm${process.pid}`)
    return user
  }
  afterAll(() => {
    if (user) removeUser(user)
  })
  backendSuite({ ...subject, name: 'qemu as root' })
  backendSuite({ ...subject, name: 'qemu as an ordinary user', user: once })
} else backendSuite({ ...subject, name: 'qemu as an ordinary user' })
