import { afterAll, describe, test } from 'vitest'
import { addUser, isRoot, removeUser, type User } from '../support/users.ts'
import { backendSuite } from './suite.ts'

const name = `pyrotest${process.pid}`

const subject = { backend: 'oci', environment: 'host' } as const

if (isRoot) {
  let user: User | undefined
  const once = () => {
    user ??= addUser(name)
    return user
  }
  afterAll(() => {
    if (user) removeUser(user)
  })
  backendSuite({ ...subject, name: 'oci as root', enforcement: 'full' })
  backendSuite({ ...subject, name: 'oci as an ordinary user', user: once, enforcement: 'partial' })
} else {
  backendSuite({ ...subject, name: 'oci as an ordinary user', enforcement: 'partial' })
  describe('oci as root', () => {
    test.skip('needs root', () => {})
  })
}
