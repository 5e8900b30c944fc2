import { afterAll, describe, test } from 'vitest'
import { missingForMachines } from '../support/machines.ts'
import { addUser, isRoot, removeUser, type User } from '../support/users.ts'
import { backendSuite } from './suite.ts'

const missing = missingForMachines()
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
