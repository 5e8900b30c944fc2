import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { execFileSync } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PassThrough, Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { PyroError } from '../../src/contract/errors.ts'
import type { HandService } from '../../src/hand/index.ts'
import { receiveTree } from '../../src/layer/pour.ts'
import { testHand } from '../support/hand.ts'

let hand: HandService
let folder: string
let out: string
let run: string
let tar: Buffer

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'pour-'))
  chmodSync(folder, 0o755)
  out = join(folder, 'out')
  run = join(folder, 'run')
  for (const path of [out, run]) mkdirSync(path, { mode: 0o700 })
  hand = testHand(folder)
  const script =
    'mkdir t; head -c 9000000 /dev/urandom >t/big; ln -s /etc/passwd t/link; tar -C t -cf t.tar ./'
  execFileSync('sh', ['-c', script], { cwd: folder })
  tar = readFileSync(join(folder, 't.tar'))
})
afterAll(async () => {
  await hand.close(true)
  rmSync(folder, { recursive: true, force: true })
})

const receive = (body: Readable, more: object = {}) =>
  receiveTree(hand.call, run, body, {
    path: '.',
    output: join(out, 'tree'),
    overwrite: false,
    owner: { uid: 0, gid: 0 },
    apart: [],
    ...more,
  })
const code = (work: Promise<unknown>) =>
  work.then(
    () => 'done',
    (error: unknown) => (error instanceof PyroError ? error.code : error),
  )
const parts = async function* (bytes: Buffer, size = 65_536) {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size)
}

describe('a tree from a stream', () => {
  test('is there, and nothing else', async () => {
    const done = await receive(Readable.from(parts(tar)))
    expect(done).toMatchObject({ kind: 'directory', files: 1, bytes: 9_000_000, skipped: [] })
    expect(readFileSync(join(out, 'tree/big')).equals(readFileSync(join(folder, 't/big')))).toBe(true)
    expect(readdirSync(run)).not.toContainEqual(expect.stringMatching(/^pour-/))
    expect(await code(receive(Readable.from(parts(tar))))).toBe('output_exists')
    rmSync(join(out, 'tree'), { recursive: true })
  })

  test('that breaks off, lies, stalls or is not wanted any more leaves nothing', async () => {
    const broken = async function* () {
      yield tar.subarray(0, 500_000)
      throw new PyroError('guest_unreachable', 'the machine is gone')
    }
    const vanished = new PassThrough()
    vanished.write(tar.subarray(0, 500_000))
    void sleep(50).then(() => vanished.destroy())
    const stalled = new PassThrough()
    stalled.write(tar.subarray(0, 500_000))
    const signal = AbortSignal.timeout(100)
    const endless = Readable.from(
      (async function* () {
        for (;;) yield Buffer.alloc(65_536, 'x')
      })(),
    )
    expect(await code(receive(Readable.from(broken())))).toBe('guest_unreachable')
    expect(await code(receive(vanished))).toBe('guest_unreachable')
    expect(await code(receive(Readable.from(parts(tar.subarray(0, 500_000)))))).toBe('guest_unreachable')
    expect(await code(receive(Readable.from(parts(Buffer.alloc(100_000, 'x')))))).toBe('guest_unreachable')
    expect(await code(receive(endless))).toBe('guest_unreachable')
    expect(await code(receive(stalled, { signal }))).toBe('cancelled')
    expect(await code(receive(Readable.from(parts(tar)), { signal: AbortSignal.abort() }))).toBe('cancelled')
    expect(await code(receive(Readable.from(parts(tar)), { output: join(out, 'none/x') }))).toBe(
      'output_parent_missing',
    )
    expect(stalled.destroyed && endless.destroyed).toBe(true)
    expect(readdirSync(out)).toEqual([])
    expect(readdirSync(run)).not.toContainEqual(expect.stringMatching(/^pour-/))
  })
})
