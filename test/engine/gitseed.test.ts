import { afterAll } from 'vitest'
import { addUser, isRoot, removeUser, type User } from '../support/users.ts'
import { gitSeedSuite } from './gitseedsuite.ts'

if (isRoot) {
  let user: User | undefined
  const once = () => {
    user ??= addUser(`pyrogit${process.pid}`)
    return user
  }
  afterAll(() => {
    if (user) removeUser(user)
  })
  gitSeedSuite({ name: 'a checkout as root' })
  gitSeedSuite({ name: 'a checkout as an ordinary user', user: once })
} else {
  gitSeedSuite({ name: 'a checkout as an ordinary user' })
}
