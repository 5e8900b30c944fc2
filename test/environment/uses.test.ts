import { existsSync, mkdirSync, mkdtempSync, readlinkSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { keepBuild, recordedBuild } from '../../src/environment/uses.ts'
import { testHand } from '../support/hand.ts'

const folder = mkdtempSync(join(tmpdir(), 'u-'))
const hand = testHand(folder)
afterAll(async () => {
  await hand.close(true)
  rmSync(folder, { recursive: true, force: true })
})

test('a workspace keeps the build it was made of, and a build that was removed meanwhile is made again', async () => {
  const at = (dir: string) => ({ dir })
  const builds = ['one', 'two'].map((name) => join(folder, 'builds', name))
  const user = { id: 'ws-0123456789', dir: join(folder, 'workspaces/ws-0123456789') }
  mkdirSync(user.dir, { recursive: true })
  let asked = 0
  const choose = async () => {
    // The first is gone before it can be kept.
    if (asked++ > 0) mkdirSync(builds[0]!, { recursive: true })
    return at(builds[0]!)
  }
  expect(await keepBuild(hand.call, user, at, choose)).toEqual({ dir: builds[0] })
  expect(asked).toBe(2)
  expect(recordedBuild(user.dir)).toBe(builds[0])
  const links = join(builds[0]!, 'users')
  expect(existsSync(links)).toBe(true)

  // Another is the current one now; this workspace stays with its own.
  mkdirSync(builds[1]!)
  const other = async () => at(builds[1]!)
  expect(await keepBuild(hand.call, user, at, other)).toEqual({ dir: builds[0] })
  expect(readlinkSync(join(user.dir, 'environment'))).toBe(builds[0])
  expect(await keepBuild(hand.call, undefined, at, other)).toEqual({ dir: builds[1] })

  renameSync(builds[0]!, join(folder, 'elsewhere'))
  expect(await keepBuild(hand.call, user, at, other)).toEqual({ dir: builds[1] })
  expect(recordedBuild(user.dir)).toBe(builds[1])
})
