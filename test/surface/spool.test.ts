// The reader of ring files, with a writer that follows the format and with files that do not.
import { execFileSync } from 'node:child_process'
import {
  closeSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, expect, test } from 'vitest'
import { openSpool, readSpool } from '../../src/channel/spool.ts'
import { PyroError } from '../../src/contract/errors.ts'

const folder = mkdtempSync(join(tmpdir(), 'pyro-spool-'))
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const HEADER = 4096
let files = 0

/** A writer as the agent is one: start moves before bytes are overwritten, end after they are written. */
function ring(cap: number) {
  const path = join(folder, `${files++}.out`)
  const fd = openSync(path, 'w+')
  let [start, end] = [0, 0]
  const number = (at: number, value: number | bigint) => {
    const bytes = Buffer.alloc(8)
    bytes.writeBigUInt64LE(BigInt(value))
    writeSync(fd, bytes, 0, 8, at)
  }
  writeSync(fd, Buffer.from('PYSPOOL1'), 0, 8, 0)
  number(8, cap)
  for (const at of [16, 24, 32]) number(at, 0)
  return {
    path,
    number,
    write(data: Buffer) {
      start = Math.max(start, end + data.length - cap)
      number(16, start)
      for (let i = 0; i < data.length; ) {
        const at = (end + i) % cap
        const size = Math.min(data.length - i, cap - at)
        writeSync(fd, data, i, size, HEADER + at)
        i += size
      }
      end += data.length
      number(24, end)
    },
    eof: () => number(32, 1),
    close: () => closeSync(fd),
  }
}

/** The same numbers in every run. */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (Math.imul(state ^ (state >>> 15), 0x2c1b3c6d) + 0x9e3779b9) | 0
    return ((state ^ (state >>> 13)) >>> 0) / 2 ** 32
  }
}
const byteAt = (offset: number) => (offset * 31 + (offset >> 8)) & 0xff
const bytes = (from: number, size: number) =>
  Buffer.from(Array.from({ length: size }, (_, i) => byteAt(from + i)))

test('whatever is written and read in whatever pieces, each byte is the right one or is counted as dropped', () => {
  const next = random(1)
  for (let round = 0; round < 50; round++) {
    const cap = 64 + Math.floor(next() * 500)
    const file = ring(cap)
    const spool = openSpool(file.path)!
    const into = Buffer.alloc(1 + Math.floor(next() * 700))
    let [written, cursor, seen, dropped] = [0, 0, 0, 0]
    for (let step = 0; step < 100; step++) {
      const size = Math.floor(next() * cap)
      file.write(bytes(written, size))
      written += size
      for (let reads = Math.floor(next() * 4); reads > 0; reads--) {
        const read = spool.read(cursor, into)
        expect(read.from).toBeGreaterThanOrEqual(cursor)
        expect(into.subarray(read.at, read.at + read.bytes)).toEqual(bytes(read.from, read.bytes))
        dropped += read.from - cursor
        seen += read.bytes
        cursor = read.from + read.bytes
      }
    }
    expect(seen + dropped).toBe(cursor)
    file.eof()
    const rest = readSpool(file.path, cursor, 1_000_000)!
    expect(rest).toMatchObject({ end: written, eof: true })
    expect(rest.data).toEqual(bytes(rest.from, written - rest.from))
    spool.close()
    file.close()
  }
})

test('a cursor at the end or beyond gives nothing, and says where the end is', () => {
  const file = ring(100)
  file.write(bytes(0, 10))
  for (const cursor of [10, 11, 1e9])
    expect(readSpool(file.path, cursor, 50)).toMatchObject({ data: Buffer.alloc(0), from: cursor, end: 10 })
  file.close()
})

test('what is not there, is a link, or may not be opened is no spool', () => {
  expect(openSpool(join(folder, 'missing'))).toBeNull()
  const file = ring(100)
  symlinkSync(file.path, join(folder, 'link'))
  expect(openSpool(join(folder, 'link'))).toBeNull()
  file.close()
})

const lie = (work: () => unknown) => {
  try {
    work()
  } catch (error) {
    if (error instanceof PyroError) return error.code
    throw error
  }
  return 'believed'
}

test('a pipe, a folder and a device are refused and hold nobody up', () => {
  execFileSync('mkfifo', [join(folder, 'fifo')])
  mkdirSync(join(folder, 'folder'))
  for (const path of [join(folder, 'fifo'), join(folder, 'folder'), '/dev/zero'])
    expect(
      lie(() => openSpool(path)),
      path,
    ).toBe('guest_unreachable')
})

test.each<[string, (file: ReturnType<typeof ring>) => void]>([
  ['another magic', (file) => writeFileSync(file.path, Buffer.alloc(HEADER, 'x'))],
  ['a header that is cut off', (file) => truncateSync(file.path, 30)],
  ['no size', (file) => file.number(8, 0)],
  ['an enormous size', (file) => file.number(8, 2n ** 40n)],
  ['a start behind its end', (file) => file.number(16, 11)],
  ['more than its ring holds', (file) => file.number(24, 1000)],
  ['an offset that no number holds', (file) => file.number(24, 2n ** 60n)],
  ['bytes that are not there', (file) => truncateSync(file.path, HEADER + 5)],
])('a file with %s is not believed', (_what, spoil) => {
  const file = ring(100)
  file.write(bytes(0, 10))
  spoil(file)
  expect(lie(() => readSpool(file.path, 0, 100))).toBe('guest_unreachable')
  file.close()
})

test('a size that changes while it is read is not believed', () => {
  const file = ring(100)
  const spool = openSpool(file.path)!
  file.number(8, 50)
  expect(lie(() => spool.read(0, Buffer.alloc(10)))).toBe('guest_unreachable')
  spool.close()
  file.close()
})

test('any header at all is read in bounds or refused', () => {
  const next = random(2)
  const path = join(folder, 'fuzz')
  const sample = ring(200)
  sample.write(bytes(0, 150))
  sample.close()
  const good = readFileSync(sample.path)
  const values = [0n, 1n, 199n, 200n, 201n, 2n ** 31n, 2n ** 32n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 64n - 1n]
  for (let round = 0; round < 3000; round++) {
    const bad = Buffer.from(good)
    for (let changes = 1 + Math.floor(next() * 3); changes > 0; changes--) {
      if (next() < 0.5)
        bad.writeBigUInt64LE(values[Math.floor(next() * values.length)]!, 8 * Math.floor(next() * 5))
      else bad[Math.floor(next() * 40)] = Math.floor(next() * 256)
    }
    writeFileSync(path, bad.subarray(0, next() < 0.2 ? Math.floor(next() * bad.length) : bad.length))
    const cursor = Math.floor(next() * 300)
    try {
      const read = readSpool(path, cursor, 100)!
      expect(read.data.length).toBeLessThanOrEqual(100)
      expect(read.from).toBeGreaterThanOrEqual(cursor)
    } catch (error) {
      expect((error as PyroError).code).toBe('guest_unreachable')
    }
  }
})
