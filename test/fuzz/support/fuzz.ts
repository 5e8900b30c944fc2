/**
 * Runs a fuzzer: many rounds, each with chances of its own, so that a failure is told by a seed and a number.
 *
 *   PYRO_FUZZ_SEED    the seed; without it CI always takes the same one, and the long form a new one every time
 *   PYRO_FUZZ_ROUNDS  how many rounds, however long they take
 *   PYRO_TEST_LONG=1  the long form
 */
import { randomInt } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { PyroError } from '../../../src/contract/errors.ts'
import { type Random, random } from './random.ts'

export const LONG = process.env['PYRO_TEST_LONG'] === '1'
const SEED = process.env['PYRO_FUZZ_SEED'] ?? (LONG ? String(randomInt(2 ** 32)) : '1')
const FIXED = process.env['PYRO_FUZZ_ROUNDS']
/** What one fuzzer may take in the short form and in the long one, in milliseconds. */
const BUDGET_MS = LONG ? 60_000 : 2_500
/** One round, whatever it meets, is over by then. */
const ROUND_MS = 20_000

export interface Corpus {
  names: string[]
  inputs: Buffer[]
  named: (name: string) => Buffer
}

/** The kept inputs of a parser. */
export function corpus(parser: string): Corpus {
  const folder = join(import.meta.dirname, '../corpus', parser)
  const names = readdirSync(folder).sort()
  const inputs = names.map((name) => readFileSync(join(folder, name)))
  return { names, inputs, named: (name) => inputs[names.indexOf(name)]! }
}

export interface FuzzOptions {
  /** Rounds of the short form; the long form makes as many as fit into its time. */
  rounds: number
  /** How many rounds go on at once: many where they mostly wait. Default: 1. */
  beside?: number
  /** Called after the rounds, also after a failed one. */
  after?: () => void | Promise<void>
}

/** `round` throws when an invariant is broken. It is given the number of the round, from 0: the first ones can go through the corpus. */
export function fuzz(
  name: string,
  { rounds, beside = 1, after }: FuzzOptions,
  round: (chance: Random, number: number) => void | Promise<void>,
): void {
  async function one(number: number): Promise<void> {
    try {
      await within(Promise.resolve(round(random(SEED, name, number), number)), ROUND_MS, 'the round')
    } catch (error) {
      const again = `PYRO_FUZZ_SEED=${SEED} PYRO_FUZZ_ROUNDS=${number + 1}`
      throw new Error(`${name}: round ${number} failed, again with ${again}: ${(error as Error).stack}`)
    }
  }
  test(`${name} (seed ${SEED})`, { timeout: FIXED ? 3_600_000 : BUDGET_MS + ROUND_MS * 2 }, async () => {
    const began = performance.now()
    const most = FIXED ? Number(FIXED) : LONG ? Number.POSITIVE_INFINITY : rounds
    let number = 0
    try {
      while (number < most && (FIXED || performance.now() - began < BUDGET_MS)) {
        const batch = Array.from({ length: Math.min(beside, most - number) }, () => one(number++))
        for (const done of await Promise.allSettled(batch)) if (done.status === 'rejected') throw done.reason
      }
    } finally {
      await after?.()
    }
    console.log(`${name}: seed ${SEED}, ${number} rounds in ${Math.round(performance.now() - began)} ms`)
  })
}

/** The promise's value; an error when it takes longer. */
export async function within<T>(promise: Promise<T>, ms: number, what: string): Promise<T> {
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(new Error(`${what} hangs: nothing within ${ms} ms`)), ms)
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}

export type Outcome<T> = { value: T; error?: undefined } | { error: PyroError; value?: undefined }

/** What became of a call: a value, or an error of ours. Anything else that is thrown is a defect. */
export async function outcome<T>(call: () => T | Promise<T>): Promise<Outcome<T>> {
  try {
    return { value: await call() }
  } catch (error) {
    expect(error, String((error as Error)?.stack)).toBeInstanceOf(PyroError)
    return { error: error as PyroError }
  }
}
