import { afterAll } from 'vitest'
import { addUser, isRoot, removeUser, type User } from '../support/users.ts'
import { hostileSuite } from './hostilesuite.ts'

const subject = { backend: 'oci', environment: 'host' } as const

if (isRoot) {
  let user: User | undefined
  const once = () => {
    user ??= addUser(`pyroseed${process.pid}`)
    return user
  }
  afterAll(() => {
    if (user) removeUser(user)
  })
  hostileSuite({ ...subject, name: 'oci as root' })
  hostileSuite({ ...subject, name: 'oci as an ordinary user', user: once })
} else hostileSuite({ ...subject, name: 'oci as an ordinary user' })
