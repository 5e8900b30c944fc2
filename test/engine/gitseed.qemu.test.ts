/**
 * Checkouts in a machine, whose disk is an image of the baseline. Its environment has no git: what is inside is taken out
 * again, and this machine's git is asked whether it would have to read any of it.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { newFolder, removeFolder, startEngine, type TestEngine } from '../support/engine.ts'
import { GIT_ENV, makeShape, SHAPES, script } from '../support/repositories.ts'
import { READ, SEEN } from './gitseedsuite.ts'

const able = existsSync('/usr/bin/qemu-system-x86_64') && existsSync('/usr/bin/mkfs.erofs')
if (!able) console.warn('checkouts in machines are not tested: QEMU or erofs-utils are not installed')

const CHOSEN = [
  'mixed',
  'stash',
  'upstream',
  'linked work tree',
  'submodules',
  'shallow',
  'partial',
  'sparse',
  'alternates',
  'rebase under way',
  'names',
  'line ends',
  'modes and links',
  'sha256',
  'split index',
]

let engine: TestEngine
let folder: string
beforeAll(async () => {
  folder = newFolder()
  mkdirSync(join(folder, 'shapes'))
  engine = await startEngine({ folder })
  for (const shape of CHOSEN) makeShape(join(folder, 'shapes'), shape, SHAPES[shape]!)
  await new Promise((resolve) => setTimeout(resolve, 1100))
}, 240_000)
afterAll(async () => {
  await engine.stop()
  removeFolder(folder)
}, 120_000)

const inMachine = async (seed_path: string, out: string) => {
  const made = await engine.call('workspace_create', {
    environment: 'debian:12-base',
    backend: 'qemu',
    seed_path,
  })
  const { workspace_id } = made
  const owners = await engine.call('workspace_exec', {
    workspace_id,
    command: 'find . ! -user 0 -o ! -group 0',
  })
  expect(owners.stdout).toBe('')
  await engine.call('workspace_export', { workspace_id, path: '.', output_path: join(folder, out) })
  await engine.call('workspace_delete', { workspace_id })
  return made.workspace_seed
}
const read = (cwd: string) =>
  execFileSync('bash', ['--norc', '-euc', READ], { cwd, env: GIT_ENV, encoding: 'utf8' })
    .split('\n')
    .filter(Boolean)
    .sort()

test.skipIf(!able)(
  'a checkout alone',
  async () => {
    const path = join(folder, 'shapes/mixed/r')
    expect(await inMachine(path, 'one')).toMatchObject({ origin_kind: 'git', branch: 'main' })
    expect(read(join(folder, 'one'))).toEqual([])
    expect(script(join(folder, 'one'), SEEN)).toBe(script(path, SEEN))
  },
  300_000,
)

test.skipIf(!able)(
  'a folder of checkouts of every kind',
  async () => {
    expect(await inMachine(join(folder, 'shapes'), 'all')).toMatchObject({
      origin_kind: 'directory',
      skipped: [],
    })
    for (const shape of CHOSEN) {
      const at = join(shape.replaceAll(' ', '-'), 'r')
      const [inside, outside] = [join(folder, 'all', at), join(folder, 'shapes', at)]
      expect({ shape, read: read(inside) }).toEqual({ shape, read: SHAPES[shape]!.reread ?? [] })
      expect(script(inside, SEEN)).toBe(script(outside, SEEN))
    }
  },
  300_000,
)
