/** src/engine/text.ts and src/layer/bytes.ts: what a guest wrote as text for JSON, and as a file that nobody looks into. */
import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { expect } from 'vitest'
import { streamChunk, wholeText } from '../../src/engine/text.ts'
import { saveBytes } from '../../src/layer/bytes.ts'
import { corpus, fuzz } from './support/fuzz.ts'
import { mutate, pieces } from './support/mutate.ts'

const kept = corpus('text')
const WORDS = [
  Buffer.from([0xc3]),
  Buffer.from([0xe2, 0x82]),
  Buffer.from([0xf0, 0x9f, 0x98]),
  'é',
  '€',
  '😀',
]

fuzz('text: bytes in pieces', { rounds: 4000 }, (chance, round) => {
  const bytes = kept.inputs[round] ?? mutate(chance, chance.pick(kept.inputs), kept.inputs, WORDS)
  const whole = wholeText(bytes)
  expect(bytes.subarray(0, whole.length).equals(whole)).toBe(true)
  expect(bytes.length - whole.length).toBeLessThan(4)
  // Read piece by piece, each from where the last one ended, nothing is lost, doubled or changed.
  const start = chance.below(5)
  const got: Buffer[] = []
  let cursor = 0
  for (let asked = 0; cursor < start + bytes.length; asked++) {
    expect(asked).toBeLessThanOrEqual(bytes.length + 1)
    const from = Math.max(cursor, start)
    const max = 4 + chance.below(8)
    const data = bytes.subarray(from - start, from - start + max)
    const eof = chance.once(2)
    const chunk = streamChunk(cursor, { data, from, end: start + bytes.length, eof })
    expect(['utf-8', 'base64']).toContain(chunk.encoding)
    got.push(Buffer.from(chunk.data, chunk.encoding === 'base64' ? 'base64' : 'utf8'))
    expect(chunk.dropped).toBe(from - cursor)
    expect(chunk.cursor).toBe(from + got.at(-1)!.length)
    if (chunk.eof) expect(chunk.cursor).toBe(chunk.end)
    cursor = chunk.cursor
    if (got.at(-1)!.length === 0) break
  }
  const all = Buffer.concat(got)
  expect(bytes.subarray(0, all.length).equals(all)).toBe(true)
  // Only an unfinished character at the end may wait for what follows it.
  expect(bytes.length - all.length).toBeLessThan(4)
})

const folder = mkdtempSync(join(tmpdir(), 'fb-'))
fuzz(
  'bytes: a stream that becomes a file',
  { rounds: 200, after: () => rmSync(folder, { recursive: true, force: true }) },
  async (chance) => {
    const place = mkdtempSync(join(folder, 'p-'))
    const dest = join(place, 'file')
    const bytes = mutate(chance, chance.pick(kept.inputs), kept.inputs)
    const breaks = chance.once(3)
    const there = chance.once(4)
    if (there) writeFileSync(dest, 'old')
    const body = Readable.from(
      (async function* () {
        yield* pieces(chance, bytes)
        if (breaks) throw new Error('gone')
      })(),
    )
    const digest = await saveBytes(body, dest).catch(() => null)
    expect(digest === null).toBe(breaks || there)
    if (digest !== null) {
      expect(readFileSync(dest).equals(bytes)).toBe(true)
      expect(digest).toBe(`sha256:${createHash('sha256').update(bytes).digest('hex')}`)
    } else if (there) expect(readFileSync(dest, 'utf8')).toBe('old')
    expect(readdirSync(place)).toEqual(digest !== null || there ? ['file'] : [])
    rmSync(place, { recursive: true })
  },
)
