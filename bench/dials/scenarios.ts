/** What is measured of the network's streams: each runs in a process of its own, with a guest of its own. */
import { setTimeout as sleep } from 'node:timers/promises'
import { followDials, type Host, type HostLimits } from './host.ts'
import { type Parts, parts, ping } from './parts.ts'

const MIB = 1_048_576

export interface Loaded {
  opened_ms: number[]
  refused_ms: number[]
  why: Record<string, number>
}
export interface GuestStats {
  resident: number
  goroutines: number
  waiting: number
  open: number
}
type Order = { kind: string; count: number; at_once?: number; bytes?: number }
export interface Bench extends Parts {
  host: Host
  load: (order: Order) => Promise<Loaded>
  stats: () => Promise<GuestStats>
  resident: () => number
}

export async function bench(socket: string, limits: HostLimits): Promise<Bench> {
  const played = parts()
  const host = await followDials(socket, limits, played.serve)
  return {
    ...played,
    host,
    load: (order) => host.ask('POST', '/v1/load', { at_once: 64, ...order }),
    stats: () => host.ask('GET', '/v1/stats'),
    resident() {
      globalThis.gc?.()
      return process.memoryUsage.rss()
    },
  }
}

/** Bytes a second of `count` streams of one kind that share `total` bytes, from the first record to the last end. */
async function rate(b: Bench, kind: 'up' | 'down', count: number, total: number): Promise<number> {
  const bytes = Math.ceil(total / count / 65_536) * 65_536
  const before = b.ended.get(kind) ?? 0
  const from = performance.now()
  const { opened_ms } = await b.load({ kind, count, bytes })
  if (opened_ms.length < count)
    throw new Error(`${count - opened_ms.length} of ${count} streams were refused`)
  while ((b.ended.get(kind) ?? 0) < before + count) await sleep(1)
  return (bytes * count) / ((performance.now() - from) / 1000)
}

async function rates(b: Bench, count: number, total: number): Promise<{ up: number; down: number }> {
  const seen = { up: [] as number[], down: [] as number[] }
  for (let round = 0; round < 3; round++)
    for (const kind of ['up', 'down'] as const) seen[kind].push(await rate(b, kind, count, total))
  return { up: seen.up.sort((a, z) => a - z)[1]!, down: seen.down.sort((a, z) => a - z)[1]! }
}

async function pings(b: Bench, count: number): Promise<number[]> {
  const times: number[] = []
  for (let at = 0; at < count; at++) times.push(await ping(b.echoes[0]!))
  return times.sort((a, z) => a - z)
}

/** One stream alone, up and down. */
export const alone = (b: Bench) => rates(b, 1, 48 * MIB)

/** A few readers that stall, each way, and then ones that don't: what the latter got in a second and a half. */
export async function stalled(b: Bench, count: number) {
  await b.load({ kind: 'echo', count: 1 })
  await b.load({ kind: 'slow-up', count })
  await b.load({ kind: 'stuck-down', count })
  await sleep(500)
  const late = new Promise<false>((resolve) => setTimeout(() => resolve(false), 1500))
  const within = (work: Promise<unknown>) => Promise.race([work.then(() => true), late])
  const results = await Promise.all([
    within(b.load({ kind: 'up', count: 4, bytes: 4 * MIB })),
    within(b.load({ kind: 'down', count: 4, bytes: 4 * MIB })),
    within(ping(b.echoes[0]!)),
    within(b.load({ kind: 'denied', count: 1 })),
  ])
  await late
  const share = (kind: string) => (b.moved.get(kind) ?? 0) / (16 * MIB)
  return {
    up: share('up'),
    down: share('down'),
    opened: results[0] && results[1],
    echo: results[2],
    refusal: results[3],
    failed: b.host.counts.failed,
  }
}

/** What open streams hold, in both processes: nothing, then idle ones, then ones whose reader stalls. */
export async function memory(b: Bench) {
  const seen = []
  for (const kind of ['echo', 'hold', 'slow-up', 'slow-down']) {
    await b.load({ kind, count: kind === 'echo' ? 1 : kind === 'hold' ? 700 : 600 })
    await sleep(kind === 'echo' ? 0 : 700)
    seen.push({ host: b.resident(), guest: (await b.stats()).resident })
  }
  return seen
}

/** The whole: 1,900 streams that are idle or stall, and 100 that move. */
export async function full(b: Bench) {
  await b.load({ kind: 'echo', count: 1 })
  const single = await rates(b, 1, 128 * MIB)
  const hundred = await rates(b, 100, 128 * MIB)
  const quiet = await pings(b, 300)
  const opened: number[] = []
  for (const [kind, count] of [
    ['hold', 699],
    ['slow-up', 600],
    ['slow-down', 600],
  ] as const)
    opened.push(...(await b.load({ kind, count })).opened_ms)
  await sleep(1000)
  const beside = await rates(b, 100, 128 * MIB)
  const pinged = await pings(b, 300)
  const one = await b.load({ kind: 'hold', count: 50, at_once: 1 })
  const busy = rates(b, 50, 128 * MIB)
  const under = await b.load({ kind: 'denied', count: 200, at_once: 1 })
  await busy
  return { single, hundred, beside, quiet, pinged, opened, one: one.opened_ms, under: under.refused_ms }
}

/** More streams than the guest's server allows, by a host that does not count: they wait in Node, unseen. */
export async function uncounted(b: Bench) {
  const asked = b.load({ kind: 'hold', count: 700, at_once: 100 }).catch(() => null)
  await sleep(1500)
  const { open } = await b.stats().catch(() => ({ open: Number.NaN }))
  void asked
  return { asked: b.host.counts.open, open }
}

/** Records beyond the bounds; then a guest that floods and hears nothing. */
export async function beyond(b: Bench, most: number) {
  await b.load({ kind: 'echo', count: 1 })
  const filled = await b.load({ kind: 'hold', count: most - 1 })
  const over = await b.load({ kind: 'hold', count: 200 })
  const burst = await b.load({ kind: 'denied', count: 1000, at_once: 1000 })
  const before = b.resident()
  await b.load({ kind: 'flood', count: 1_000_000 })
  await sleep(1500)
  const { records } = b.host.counts
  const echo = await pings(b, 100)
  await sleep(300)
  const stands = b.host.counts.records === records
  return { filled, over, burst, flood: { records, stands, grew: b.resident() - before, echo } }
}

/** Readers that stall while small pieces come in between much else. */
export async function drip(b: Bench) {
  await rate(b, 'up', 4, 384 * MIB)
  const before = b.resident()
  await b.load({ kind: 'drip', count: 1000 })
  await rate(b, 'up', 4, 512 * MIB)
  const waiting = b.drips.reduce((sum, stream) => sum + stream.readableLength, 0)
  return { waiting, grew: b.resident() - before }
}

/** A host with open streams, to be killed; says when it is there. */
export async function victim(b: Bench) {
  await b.load({ kind: 'hold', count: 1000 })
  await b.load({ kind: 'slow-up', count: 500 })
  await b.load({ kind: 'slow-down', count: 500 })
  await sleep(500)
  return { guest: await b.stats() }
}

/** The one after it: how long until the guest has let go of the old streams, and a new one is open. */
export async function successor(b: Bench, startedAt: number) {
  const first = await b.load({ kind: 'hold', count: 1 })
  const openedAt = Date.now() - startedAt
  let guest = await b.stats()
  for (const limit = Date.now() + 5000; guest.open > 1 && Date.now() < limit; await sleep(20))
    guest = await b.stats()
  const cleared = Date.now() - startedAt
  const again = await b.load({ kind: 'hold', count: 1999 })
  return { first, openedAt, cleared, guest, again }
}
