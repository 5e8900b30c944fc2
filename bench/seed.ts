/** Seeds of small files: the copy that creating makes, against `tar` making the same tree. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Bench } from './engine.ts'
import { type Claim, ms, ratio, time } from './stats.ts'

const MOST = 1.2

/** What a workspace is seeded from, and what `tar` does instead. */
interface Shape {
  what: string
  /** Makes the source of a tree, and tells where it is. */
  make: (tree: string) => string
  against: string
  /** A script of the shell, with the source as $1 and an empty directory as $2. */
  theirs: string
}

export const SEED_SHAPES = {
  directory: {
    what: 'seed of',
    make: (tree) => tree,
    against: 'tar | tar',
    theirs: 'tar -C "$1" -c . | tar -C "$2" -x',
  },
  /** Packed, as a clone is: what is outside is copied with its whole `.git`. */
  checkout: {
    what: 'seed of a git checkout of',
    make(tree) {
      const git = (...args: string[]) =>
        execFileSync('git', [
          '-C',
          tree,
          '-c',
          'user.name=a',
          '-c',
          'user.email=a@b',
          '-c',
          'gc.auto=0',
          ...args,
        ])
      git('init', '-q')
      git('add', '.')
      git('commit', '-qm', 'all')
      git('repack', '-adq')
      git('prune-packed', '-q')
      return tree
    },
    against: 'tar | tar',
    theirs: 'tar -C "$1" -c . | tar -C "$2" -x',
  },
  archive: {
    what: 'seed from a .tar of',
    make(tree) {
      execFileSync('tar', ['-C', tree, '-cf', `${tree}.tar`, '.'])
      return `${tree}.tar`
    },
    against: 'tar -x',
    theirs: 'tar -C "$2" -xf "$1"',
  },
  compressed: {
    what: 'seed from a .tar.gz of',
    make(tree) {
      execFileSync('tar', ['-C', tree, '-czf', `${tree}.tar.gz`, '.'])
      return `${tree}.tar.gz`
    },
    against: 'tar -xz',
    theirs: 'tar -C "$2" -xzf "$1"',
  },
} satisfies Record<string, Shape>

export async function seedBench(
  { pyro, folder }: Bench,
  files: number,
  { what, make, against, theirs }: Shape,
): Promise<Claim> {
  const tree = join(folder, `tree-${files}`)
  makeTree(tree, files)
  const source = make(tree)
  const copy = join(folder, 'copy')
  let last: string | undefined
  const clean = async () => {
    rmSync(copy, { recursive: true, force: true })
    if (last) await pyro.deleteWorkspace({ workspaceId: last })
    last = undefined
  }
  // What a seeded workspace costs beyond an empty one is the seed.
  const empty: number[] = []
  for (let i = 0; i < 5; i++) {
    empty.push(
      await time(async () => {
        last = (await pyro.createWorkspace({ environment: 'host' })).workspaceId
      }),
    )
    await clean()
  }
  const base = empty.sort((a, b) => a - b)[2]!
  const samples: [number, number][] = []
  const [first, rounds] = files > 10_000 ? [0, 1] : [-1, 9]
  for (let round = first; round < rounds; round++) {
    await clean()
    const ours = await time(async () => {
      last = (await pyro.createWorkspace({ environment: 'host', seedPath: source })).workspaceId
    })
    mkdirSync(copy)
    const tars = await time(async () => {
      execFileSync('sh', ['-c', theirs, 'sh', source, copy])
    })
    if (round >= 0) samples.push([ours - base, tars])
  }
  await clean()
  const median = (column: 0 | 1) =>
    samples.map((pair) => pair[column]).sort((a, b) => a - b)[samples.length >> 1]!
  for (const made of new Set([tree, source])) rmSync(made, { recursive: true })
  return {
    what: `${what} ${files.toLocaleString('en')} files`,
    measured: ms(median(0)),
    against: `${against}, ${ms(median(1))}`,
    result: ratio(median(0), median(1)),
    bound: `≤ ${MOST} ×`,
    holds: median(0) <= MOST * median(1),
  }
}

function makeTree(root: string, files: number): void {
  const content = 'x'.repeat(2000)
  for (let i = 0; i < files; i++) {
    const folder = join(root, `d${Math.floor(i / 1000)}`, `e${Math.floor((i % 1000) / 50)}`)
    if (i % 50 === 0) mkdirSync(folder, { recursive: true })
    writeFileSync(join(folder, `f${i}.txt`), content.slice(0, (i * 37) % 2000))
  }
}
