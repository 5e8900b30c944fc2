import { afterAll } from 'vitest'
import { addUser, isRoot, removeUser, type User } from '../support/users.ts'
import { lifeSuite } from './life.ts'

const subject = { backend: 'oci', environment: 'host' } as const

if (isRoot) {
  let user: User | undefined
  const once = () => {
    user ??= addUser(`pyrolife${process.pid}`)
    return user
  }
  afterAll(() => {
    if (user) removeUser(user)
  })
  lifeSuite({ ...subject, name: 'oci as root' })
  lifeSuite({ ...subject, name: 'oci as an ordinary user', user: once })
} else lifeSuite({ ...subject, name: 'oci as an ordinary user' })
