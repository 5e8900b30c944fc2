/** Seeds of 1,000 and 100,000 small files: the copy that creating makes, against `tar | tar` of the same tree. */
import { execFileSync } from 'node:child_process'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Bench } from './engine.ts'
import { type Claim, ms, ratio, time } from './stats.ts'

export async function seedBench({ pyro, folder }: Bench, files: number): Promise<Claim> {
  const source = join(folder, `tree-${files}`)
  makeTree(source, files)
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
  for (let round = files > 10_000 ? 0 : -1; round < (files > 10_000 ? 1 : 9); round++) {
    await clean()
    const ours = await time(async () => {
      last = (await pyro.createWorkspace({ environment: 'host', seedPath: source })).workspaceId
    })
    mkdirSync(copy)
    const theirs = await time(async () => {
      execFileSync('sh', ['-c', 'tar -C "$1" -c . | tar -C "$2" -x', 'sh', source, copy])
    })
    if (round >= 0) samples.push([ours - base, theirs])
  }
  await clean()
  const median = (column: 0 | 1) =>
    samples.map((pair) => pair[column]).sort((a, b) => a - b)[samples.length >> 1]!
  rmSync(source, { recursive: true })
  return {
    what: `seed of ${files.toLocaleString('en')} files`,
    measured: ms(median(0)),
    against: `tar | tar, ${ms(median(1))}`,
    result: ratio(median(0), median(1)),
    bound: 'reported',
    holds: null,
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
