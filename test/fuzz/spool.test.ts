/** src/channel/spool.ts: ring files that a sandbox wrote, or is writing while they are read. */
import fs from 'node:fs'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, vi } from 'vitest'
import { openSpool, readSpool } from '../../src/channel/spool.ts'
import { corpus, fuzz, outcome } from './support/fuzz.ts'
import { mutate } from './support/mutate.ts'
import type { Random } from './support/random.ts'

/** The guest's half of a race: what it does to the file between two reads of the host. */
let meanwhile: (() => void) | undefined
vi.mock('node:fs', async (load) => {
  const real = await load<typeof fs>()
  const readSync = ((...of: Parameters<typeof real.readSync>) => {
    const bytes = real.readSync(...of)
    meanwhile?.()
    return bytes
  }) as typeof real.readSync
  return { ...real, readSync }
})

const kept = corpus('spool')
const HEADER = 4096
const EDGES = [
  0n,
  1n,
  2n,
  255n,
  4096n,
  65_536n,
  2n ** 30n,
  2n ** 31n,
  2n ** 32n,
  2n ** 53n - 1n,
  2n ** 53n,
  2n ** 64n - 1n,
]
const folder = mkdtempSync(join(tmpdir(), 'fuzz-spool-'))
const path = join(folder, 'ring')
const cleanup = () => {
  meanwhile = undefined
  rmSync(folder, { recursive: true, force: true })
  fs.mkdirSync(folder)
}

/** A ring file with fields that may be honest or not. */
function ring(chance: Random): Buffer {
  if (chance.once(3)) return mutate(chance, chance.pick(kept.inputs), kept.inputs, ['PYSPOOL1'])
  const cap = BigInt(chance.pick([1, 2, 16, 100, 4096]))
  const end = BigInt(chance.below(10_000)) + (chance.once(5) ? 2n ** 40n : 0n)
  const start = end > cap ? end - cap : 0n
  const honest = [cap, start, end, BigInt(chance.below(2))]
  const fields = honest.map((value) =>
    chance.once(8) ? chance.pick(EDGES) + BigInt(chance.below(3)) : value,
  )
  const bytes = Buffer.alloc(HEADER + chance.pick([Number(cap), Number(cap), 0, 1, 5000]), chance.below(256))
  bytes.write(chance.once(20) ? 'PYSPOOL2' : 'PYSPOOL1')
  for (const [index, value] of fields.entries())
    bytes.writeBigUInt64LE(BigInt.asUintN(64, value), 8 + index * 8)
  return bytes
}
const cursorOf = (chance: Random) =>
  chance.once(4) ? Number(chance.pick(EDGES.slice(0, 10))) : chance.below(12_000)

/** What a reader may rely on, whatever the file says. */
function check(
  read: { from: number; end: number; eof: boolean },
  bytes: number,
  cursor: number,
  max: number,
): void {
  for (const value of [read.from, read.end]) expect(Number.isSafeInteger(value) && value >= 0).toBe(true)
  expect(typeof read.eof).toBe('boolean')
  expect(bytes).toBeLessThanOrEqual(max)
  expect(read.from).toBeGreaterThanOrEqual(cursor)
  if (bytes > 0) expect(read.from + bytes).toBeLessThanOrEqual(read.end)
}

fuzz('spool: a file that lies', { rounds: 4000, after: cleanup }, async (chance, round) => {
  const bytes = kept.inputs[round] ?? ring(chance)
  writeFileSync(path, bytes)
  const cursor = cursorOf(chance)
  const max = chance.pick([0, 1, 10, 4096, 1 << 20])
  const { value, error } = await outcome(() => readSpool(path, cursor, max))
  if (error) return expect(error.code).toBe('guest_unreachable')
  check(value!, value!.data.length, cursor, max)
  // What is given is what lies in the ring at that place.
  const cap = Number(bytes.readBigUInt64LE(8))
  for (const at of [0, value!.data.length - 1])
    if (value!.data.length > 0) expect(value!.data[at]).toBe(bytes[HEADER + ((value!.from + at) % cap)])
})

fuzz('spool: a file that changes while it is read', { rounds: 3000, after: cleanup }, async (chance) => {
  writeFileSync(path, ring(chance))
  const writer = fs.openSync(path, 'r+')
  let reads = 0
  const step = chance.pick([1n, 1n, 10n, 5000n])
  const both = chance.once(2)
  try {
    const cursor = cursorOf(chance)
    const max = chance.pick([1, 10, 4096, 1 << 20])
    meanwhile = () => {
      reads++
      if (!chance.once(both ? 1 : 3)) return
      const now = fs.readFileSync(path).subarray(8, 32)
      if (now.length < 24) return
      const [cap, start, end] = [0, 8, 16].map((at) => now.readBigUInt64LE(at)) as [bigint, bigint, bigint]
      const next = chance.once(20)
        ? [chance.pick(EDGES), start, end]
        : chance.once(20)
          ? [cap, start - step, end - step]
          : [cap, start + (both ? step : 0n), end + step]
      const written = Buffer.alloc(24)
      for (const [index, value] of next.entries())
        written.writeBigUInt64LE(BigInt.asUintN(64, value), index * 8)
      fs.writeSync(writer, written, 0, 24, 8)
      if (chance.once(50)) fs.ftruncateSync(writer, chance.below(5000))
    }
    const { value, error } = await outcome(() => readSpool(path, cursor, max))
    if (error) expect(error.code).toBe('guest_unreachable')
    else if (value) check(value, value.data.length, cursor, max)
    // Four system calls for each part, and as many parts as a ring has ends: not one for each byte.
    expect(reads).toBeLessThan(1000)
  } finally {
    meanwhile = undefined
    fs.closeSync(writer)
  }
})

fuzz('spool: a name that is no file of ours', { rounds: 30, after: cleanup }, async (chance) => {
  rmSync(path, { recursive: true, force: true })
  const kind = chance.pick(['none', 'folder', 'link', 'dangling', 'long'] as const)
  if (kind === 'folder') fs.mkdirSync(path)
  if (kind === 'link') fs.symlinkSync('/etc/passwd', path)
  if (kind === 'dangling') fs.symlinkSync('/none', path)
  const name = kind === 'long' ? join(folder, 'x'.repeat(300)) : path
  const { value, error } = await outcome(() => [openSpool(name), readSpool(name, 0, 10)])
  expect(error?.code ?? value).toEqual(kind === 'folder' ? 'guest_unreachable' : [null, null])
  rmSync(path, { recursive: true, force: true })
})
