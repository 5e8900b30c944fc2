/** src/layer/pour.ts: a tree that a guest sends, taken by the real hand. What comes out lies in its place, or nothing does. */
import { lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { afterAll, beforeAll, expect } from 'vitest'
import { PyroError } from '../../src/contract/errors.ts'
import type { HandService } from '../../src/hand/index.ts'
import { receiveTree } from '../../src/layer/pour.ts'
import { testHand } from '../support/hand.ts'
import { corpus, fuzz, outcome, within } from './support/fuzz.ts'
import { mutate, pieces } from './support/mutate.ts'
import type { Random } from './support/random.ts'

const kept = corpus('tree')
const CODES = [
  'guest_unreachable',
  'cancelled',
  'link_leaves',
  'layer_too_large',
  'not_exportable',
  'internal',
  'output_exists',
  'bad_path',
  'path_not_found',
  'output_parent_missing',
  'timed_out',
]
let hand: HandService
let folder: string
let run: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'ft-'))
  run = join(folder, 'run')
  hand = testHand(folder)
})
afterAll(async () => {
  await hand.close(true)
  rmSync(folder, { recursive: true, force: true })
})

/** The bytes with a right checksum in all that looks like a header: chance would seldom get beyond a wrong one. */
function repaired(bytes: Buffer): Buffer {
  const out = Buffer.from(bytes)
  for (let at = 0; at + 512 <= out.length; at += 512) {
    const block = out.subarray(at, at + 512)
    if (block.toString('latin1', 257, 262) !== 'ustar') continue
    block.fill(' ', 148, 156)
    const sum = block.reduce((all, one) => all + one, 0)
    block.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148)
  }
  return out
}

/** The bytes as a stream, which ends as streams of guests do. */
function stream(chance: Random, bytes: Buffer, signal: AbortController): Readable {
  const parts = pieces(chance, bytes)
  const cut = chance.below(parts.length + 1)
  switch (chance.below(10)) {
    case 0:
      return Readable.from(
        (async function* () {
          yield* parts.slice(0, cut)
          throw chance.once(2) ? new PyroError('guest_unreachable', 'gone') : new Error('gone')
        })(),
      )
    case 1: {
      const vanishing = new PassThrough()
      for (const part of parts.slice(0, cut)) vanishing.write(part)
      setTimeout(() => vanishing.destroy(), chance.below(20))
      return vanishing
    }
    case 2: {
      const stalled = new PassThrough()
      for (const part of parts.slice(0, cut)) stalled.write(part)
      setTimeout(() => signal.abort(), chance.below(20))
      return stalled
    }
    case 3:
      return Readable.from(
        (async function* () {
          yield* parts
          for (let more = 0; more < 200; more++)
            yield chance.once(2) ? Buffer.alloc(65_536) : chance.bytes(512)
        })(),
      )
    default:
      return Readable.from(parts)
  }
}

const settled = () => expect(readdirSync(run)).not.toContainEqual(expect.stringMatching(/^pour-/))
fuzz('tree: a hostile tar', { rounds: 250, beside: 4, after: settled }, async (chance, round) => {
  const place = mkdtempSync(join(folder, 'place-'))
  const out = join(place, 'out')
  mkdirSync(out)
  writeFileSync(join(place, 'canary'), 'safe')
  const before = chance.once(3)
  if (before) writeFileSync(join(out, 'tree'), 'old')
  const overwrite = chance.once(2)
  const bytes =
    kept.inputs[round] ??
    mutate(chance, chance.pick(kept.inputs), kept.inputs, ['../', 'ustar\0', '0000000', '\0'])
  const ending = new AbortController()
  const body = stream(chance, chance.once(3) ? bytes : repaired(bytes), ending)
  const { value, error } = await within(
    outcome(() =>
      receiveTree(hand.call, run, body, {
        path: chance.pick(['.', 'a', 'd/b', 'l']),
        output: join(out, 'tree'),
        overwrite,
        owner: { uid: 0, gid: 0 },
        apart: [],
        signal: ending.signal,
        ...(chance.once(2) ? { onProgress: () => {} } : {}),
      }),
    ),
    15_000,
    'an export',
  )
  expect(body.destroyed).toBe(true)
  expect(readdirSync(place).sort()).toEqual(['canary', 'out'])
  expect(readFileSync(join(place, 'canary'), 'utf8')).toBe('safe')
  if (error) {
    expect(CODES, error.message).toContain(error.code)
    expect(readdirSync(out)).toEqual(before ? ['tree'] : [])
    if (before) expect(readFileSync(join(out, 'tree'), 'utf8')).toBe('old')
  } else {
    expect(readdirSync(out)).toEqual(['tree'])
    expect(['file', 'directory', 'symlink']).toContain(value.kind)
    const made = lstatSync(join(out, 'tree'))
    expect([made.isFile(), made.isDirectory(), made.isSymbolicLink()]).toEqual(
      ['file', 'directory', 'symlink'].map((kind) => kind === value.kind),
    )
    if (before) expect(overwrite).toBe(true)
  }
  rmSync(place, { recursive: true, force: true })
})

fuzz('tree: a hand that does not come', { rounds: 8 }, async (chance) => {
  const ending = new AbortController()
  const failing = chance.once(2)
  const call = (async (_name: string, _input: unknown, { signal }: { signal: AbortSignal }) => {
    if (failing) throw new PyroError('io_error', 'no')
    setTimeout(() => ending.abort(), 5)
    await new Promise((_, reject) =>
      signal.addEventListener('abort', () => reject(new PyroError('cancelled', 'x'))),
    )
  }) as never
  const body = new PassThrough()
  const { error } = await within(
    outcome(() =>
      receiveTree(call, run, body, {
        path: '.',
        output: '/none/x',
        overwrite: false,
        owner: { uid: 0, gid: 0 },
        apart: [],
        signal: ending.signal,
      }),
    ),
    2000,
    'an export',
  )
  expect(error!.code).toBe(failing ? 'io_error' : 'cancelled')
  expect(body.destroyed).toBe(true)
  expect(readdirSync(run)).not.toContainEqual(expect.stringMatching(/^pour-/))
})
