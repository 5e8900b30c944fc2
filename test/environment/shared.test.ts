import { setTimeout as sleep } from 'node:timers/promises'
import { expect, test } from 'vitest'
import type { BuildProgress } from '../../src/environment/environment.ts'
import { shared } from '../../src/environment/shared.ts'

test('callers of one thing share one making and its progress; another thing is made beside it', async () => {
  const make = shared<string>()
  const heard: string[] = []
  let made = 0
  const one = (who: string, key = 'a') =>
    make(key, { progress: ({ text }) => void heard.push(`${who} ${text}`) }, async ({ progress }) => {
      made++
      await sleep(20)
      progress({ text: `makes ${key}` })
      return `${key}${made}`
    })
  const answers = await Promise.all([one('first'), one('second'), one('third', 'b')])
  expect(answers).toEqual(['a2', 'a2', 'b2'])
  expect(heard.sort()).toEqual(['first makes a', 'second makes a', 'third makes b'])
  expect(await one('later')).toBe('a3')
})

test('a caller that goes away ends the making only when nobody else waits, and then waits for its end', async () => {
  const make = shared<string>()
  const states: string[] = []
  const work = async ({
    signal,
  }: {
    signal: AbortSignal
    progress: (progress: BuildProgress) => void
  }): Promise<string> => {
    states.push('began')
    for (let i = 0; i < 10 && !signal.aborted; i++) await sleep(10)
    if (signal.aborted) await sleep(30)
    states.push(signal.aborted ? 'undone' : 'done')
    signal.throwIfAborted()
    return 'made'
  }
  const [first, second] = [new AbortController(), new AbortController()]
  const both = [make('a', { signal: first.signal }, work), make('a', { signal: second.signal }, work)]
  const left = expect(both[0]).rejects.toThrow('first left')
  first.abort(new Error('first left'))
  await left
  expect(await both[1]).toBe('made')
  expect(states).toEqual(['began', 'done'])

  const alone = make('a', { signal: second.signal }, work)
  second.abort(new Error('second left'))
  await expect(alone).rejects.toThrow('second left')
  expect(states).toEqual(['began', 'done', 'began', 'undone'])
  await expect(make('a', { signal: second.signal }, work)).rejects.toThrow('second left')
  expect(states).toHaveLength(4)
})

test('a making that fails fails for all, and the next begins anew', async () => {
  const make = shared<string>()
  const fails = async () => {
    await sleep(5)
    throw new Error('no')
  }
  const both = [make('a', {}, fails), make('a', {}, fails)]
  expect((await Promise.allSettled(both)).map(({ status }) => status)).toEqual(['rejected', 'rejected'])
  expect(await make('a', {}, async () => 'yes')).toBe('yes')
})
