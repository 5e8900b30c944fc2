/** Samples, compared within one run: machines differ, ratios travel. */

export interface Summary {
  median: number
  p99: number
  min: number
  max: number
  n: number
}

export function summarize(samples: number[]): Summary {
  const sorted = [...samples].sort((a, b) => a - b)
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))]!
  return { median: at(0.5), p99: at(0.99), min: sorted[0]!, max: sorted.at(-1)!, n: sorted.length }
}

/** Runs both in turn, A B A B …, after one round that is not counted; milliseconds each. `tidy` follows each, not timed. */
export async function pairwise(
  rounds: number,
  a: () => Promise<unknown>,
  b: () => Promise<unknown>,
  tidy: () => Promise<unknown> = async () => {},
): Promise<[Summary, Summary]> {
  const [first, second]: [number[], number[]] = [[], []]
  for (let round = -1; round < rounds; round++) {
    const times = [await time(a)]
    await tidy()
    times.push(await time(b))
    await tidy()
    if (round < 0) continue
    first.push(times[0]!)
    second.push(times[1]!)
  }
  return [summarize(first), summarize(second)]
}

export async function time(work: () => Promise<unknown>): Promise<number> {
  const from = performance.now()
  await work()
  return performance.now() - from
}

export const ms = (value: number): string => `${value.toFixed(value < 10 ? 2 : 1)} ms`
export const ratio = (a: number, b: number): string => `${(a / b).toFixed(2)} ×`

/** One claim: what was measured, against what, and the bound it is held to. */
export interface Claim {
  what: string
  measured: string
  against: string
  result: string
  bound: string
  holds: boolean | null
}
