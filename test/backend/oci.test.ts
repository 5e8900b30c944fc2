import { afterAll, describe, test } from 'vitest'
import { addUser, isRoot, removeUser, type User } from '../support/users.ts'
import { backendSuite } from './suite.ts'

const name = `pyrotest${process.pid}`

if (isRoot) {
  let user: User | undefined
  const once = () => {
    user ??= addUser(name)
    return user
  }
  afterAll(() => {
    if (user) removeUser(user)
  })
  backendSuite({ name: 'oci as root', enforcement: 'full' })
  backendSuite({ name: 'oci as an ordinary user', user: once, enforcement: 'partial' })
} else {
  backendSuite({ name: 'oci as an ordinary user', enforcement: 'partial' })
  describe('oci as root', () => {
    test.skip('needs root', () => {})
  })
}
