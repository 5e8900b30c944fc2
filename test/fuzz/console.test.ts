/** src/backend/machine.ts: the console of a machine that did not start, whose end becomes part of an error. */
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { execFileSync } from 'node:child_process'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'vitest'
import { lastWords, readTail, startMachine } from '../../src/backend/machine.ts'
import type { Hand, MachineProgram } from '../../src/hand/protocol.ts'
import { corpus, fuzz, outcome } from './support/fuzz.ts'
import { mutate } from './support/mutate.ts'

const kept = corpus('console')
const folder = mkdtempSync(join(tmpdir(), 'fuzz-console-'))
const path = join(folder, 'console.log')
const cleanup = () => rmSync(folder, { recursive: true, force: true })
const WORDS = ['\x1b[31m', '\x1b[', '\r\n', '\x9b2J', '\0', '\x1b]0;title\x07', '\xad', ';', '\u202e']

/** The hand's part of a start is not under test: a machine that ends before it is ready. */
const ended: string[] = []
const hand = (async (name: string) => {
  ended.push(name)
  return { pid: 1, start_time: 1 }
}) as unknown as Hand

fuzz('console: words of a guest', { rounds: 3000, after: cleanup }, async (chance, round) => {
  mkdirSync(folder, { recursive: true })
  const text = kept.inputs[round] ?? mutate(chance, chance.pick(kept.inputs), kept.inputs, WORDS)
  rmSync(path, { recursive: true, force: true })
  const kind = chance.below(40)
  if (kind === 0) symlinkSync('/etc/passwd', path)
  else if (kind === 1) mkdirSync(path)
  else if (kind === 2 && process.platform === 'linux') execFileSync('mkfifo', [path])
  else if (kind > 3) writeFileSync(path, text)
  const { value: words } = await outcome(() => lastWords(path))
  expect(words!.length).toBeLessThanOrEqual(600)
  expect(words).not.toMatch(/[\p{Cc}\p{Cf}]/u)
  if (kind <= 3) expect(words).toBe('')
  expect(readTail(path, 10).length).toBeLessThanOrEqual(10)
  const program = {
    program: 'qemu',
    console: path,
    record: join(folder, 'r'),
    cgroup: null,
  } as unknown as MachineProgram
  ended.length = 0
  const { error } = await outcome(() =>
    startMachine(hand, program, async () => {
      throw new Error('it did not answer')
    }),
  )
  expect(error!.code).toBe('machine_failed')
  expect(error!.message).toContain(words || 'it did not answer')
  expect(ended).toEqual(['machine_start', 'machine_stop'])
})
