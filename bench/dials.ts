/**
 * The network connection before there is a network: 2,000 streams over one HTTP/2 connection between Node and Go, most of
 * them idle or stalled. Prints what the limits in ARCHITECTURE.md ("The network's streams") were chosen from.
 */
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as sleep } from 'node:timers/promises'
import type { HostLimits } from './dials/host.ts'
import type * as scenarios from './dials/scenarios.ts'
import { ms, ratio, summarize } from './stats.ts'

const ROOT = resolve(import.meta.dirname, '..')
const KIB = 1024
const MIB = 1_048_576
const SCENARIO_MS = 30_000

interface GuestLimits {
  streams: number
  streamWindow: number
  connectionWindow: number
}
/** What ARCHITECTURE.md states. 48 streams more than connections: dials, and those that one side has ended before the other. */
const GUEST: GuestLimits = { streams: 2048, streamWindow: 32 * KIB, connectionWindow: 64 * MIB }
const HOST: HostLimits = {
  streamWindow: 32 * KIB,
  connectionWindow: 16 * MIB,
  open: 2000,
  dialling: 256,
  dialMs: 0,
  compact: true,
  held: 16 * KIB,
  sessionMemory: 256,
}

const folder = mkdtempSync(join(tmpdir(), 'pyro-dials-'))
const binary = join(folder, 'dials')
const children = new Set<ChildProcess>()
let guests = 0

function start(command: string, args: string[]): ChildProcess {
  const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  children.add(child)
  child.once('exit', () => children.delete(child))
  return child
}
async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return
  child.kill('SIGKILL')
  await once(child, 'exit')
}

async function withGuest<T>(limits: GuestLimits, work: (socket: string) => Promise<T>): Promise<T> {
  const socket = join(folder, `${++guests}.sock`)
  const { streams, streamWindow, connectionWindow } = limits
  const windows = [`-stream-window=${streamWindow}`, `-connection-window=${connectionWindow}`]
  const guest = start(binary, [`-socket=${socket}`, `-streams=${streams}`, ...windows])
  try {
    while (!existsSync(socket) && guest.exitCode === null) await sleep(5)
    return await work(socket)
  } finally {
    await end(guest)
  }
}

function host(socket: string, limits: HostLimits, name: string, argument: number): ChildProcess {
  const file = join(ROOT, 'bench/dials/child.ts')
  return start(process.execPath, [
    '--expose-gc',
    file,
    socket,
    JSON.stringify(limits),
    name,
    String(argument),
  ])
}
async function said<T>(child: ChildProcess): Promise<T> {
  const limit = setTimeout(() => child.kill('SIGKILL'), SCENARIO_MS)
  try {
    for await (const line of createInterface({ input: child.stdout! })) return JSON.parse(line)
    throw new Error('a scenario ended without a result')
  } finally {
    clearTimeout(limit)
  }
}

type Name = Exclude<keyof typeof scenarios, 'bench'>
type Result<N extends Name> = (typeof scenarios)[N] extends (...args: never[]) => Promise<infer R> ? R : never
async function run<N extends Name>(
  name: N,
  {
    guest = {},
    ours = {},
    argument = 0,
  }: { guest?: Partial<GuestLimits>; ours?: Partial<HostLimits>; argument?: number } = {},
): Promise<Result<N>> {
  return withGuest({ ...GUEST, ...guest }, async (socket) => {
    const child = host(socket, { ...HOST, ...ours }, name, argument)
    try {
      return await said<Result<N>>(child)
    } finally {
      await end(child)
    }
  })
}

const mb = (bytes: number) => `${(bytes / 1e6).toFixed(0)} MB`
const times = (samples: number[]) => {
  const { median, p99 } = summarize(samples)
  return `median ${ms(median)}, p99 ${ms(p99)}`
}
function row(what: string, result: string): void {
  console.log(`${what.padEnd(66)} ${result}`)
}

async function windows(): Promise<void> {
  for (const size of [16, 32, 64, 256].map((kib) => kib * KIB)) {
    const { up, down } = await run('alone', { guest: { streamWindow: size }, ours: { streamWindow: size } })
    row(`one stream alone, window ${size / KIB} KiB`, `up ${mb(up)}/s, down ${mb(down)}/s`)
  }
}

async function stalls(): Promise<void> {
  const cases = [
    ["agent's windows now (2 MiB, 8 MiB in all)", { streamWindow: 2 * MIB, connectionWindow: 8 * MIB }, 40],
    ['32 KiB, 4 MiB in all', { connectionWindow: 4 * MIB }, 200],
    ['32 KiB, 64 MiB in all', {}, 400],
    ['the same; the host allows 1 MiB in all', {}, 400, { connectionWindow: MIB }],
    ["the same; Node's maxSessionMemory as it comes", {}, 400, { sessionMemory: 10 }],
  ] as const
  for (const [what, guest, count, ours = {}] of cases) {
    const { up, down, opened, echo, refusal, failed } = await run('stalled', { guest, ours, argument: count })
    const yes = (came: boolean) => (came ? 'yes' : 'NO')
    const rest = `echo ${yes(echo)}, stream opens ${yes(opened)}, refusal arrives ${yes(refusal)}, streams reset by Node ${failed}`
    row(
      `${2 * count} stall: ${what}`,
      `up ${(up * 100).toFixed(0)} %, down ${(down * 100).toFixed(0)} %, ${rest}`,
    )
  }
}

async function held(): Promise<void> {
  const names = [
    'nothing open',
    '700 idle',
    '600 more that the host reads slowly',
    '600 more that the guest reads slowly',
  ]
  for (const held of [64 * KIB, HOST.held]) {
    const seen = await run('memory', { ours: { held } })
    for (const [at, { host, guest }] of seen.entries())
      row(`memory, high water mark ${held / KIB} KiB: ${names[at]}`, `host ${mb(host)}, guest ${mb(guest)}`)
  }
}

async function whole(): Promise<void> {
  const f = await run('full')
  const speeds = (a: { up: number; down: number }, b: { up: number; down: number }) =>
    `up ${mb(a.up)}/s (${ratio(a.up, b.up)}), down ${mb(a.down)}/s (${ratio(a.down, b.down)})`
  row('one stream alone', `up ${mb(f.single.up)}/s, down ${mb(f.single.down)}/s`)
  row('100 busy streams, against one', speeds(f.hundred, f.single))
  row('100 busy streams beside 1,900 idle or stalled, against one', speeds(f.beside, f.single))
  row('echo, nothing else', times(f.quiet))
  row('echo, 1,900 idle or stalled', times(f.pinged))
  row('record to open stream, 64 at a time, 1,900 of them', times(f.opened))
  row('record to open stream, one at a time, beside 1,900', times(f.one))
  row('record to refusal, beside all that and 50 busy streams', times(f.under))
}

async function limits(): Promise<void> {
  const u = await run('uncounted', { guest: { streams: 512 } })
  row(
    'a server with the limit 512, and a host that does not look',
    `${u.open} open, ${u.asked - u.open} wait in Node without a word`,
  )
  const b = await run('beyond', { argument: HOST.open })
  row(`${HOST.open} open, 200 records more`, `${JSON.stringify(b.over.why)}, ${times(b.over.refused_ms)}`)
  row('1,000 records at once', JSON.stringify(b.burst.why))
  const stands = b.flood.stands ? 'stands' : 'GOES ON'
  row(
    'a guest sends 1,000,000 records and reads no refusal',
    `${b.flood.records} taken, then it ${stands}; host +${mb(b.flood.grew)}; echo ${times(b.flood.echo)}`,
  )
  for (const compact of [false, true]) {
    const { waiting, grew } = await run('drip', { ours: { compact } })
    row(
      `1,000 stalled readers, 16-byte frames, ${compact ? 'copied together' : 'as Node keeps them'}`,
      `${(waiting / 1000).toFixed(0)} kB wait, host +${mb(grew)}`,
    )
  }
}

async function death(): Promise<void> {
  await withGuest(GUEST, async (socket) => {
    const first = host(socket, HOST, 'victim', 0)
    const before = await said<Result<'victim'>>(first)
    await end(first)
    const next = host(socket, HOST, 'successor', Date.now())
    const { openedAt, cleared, guest, again } = await said<Result<'successor'>>(next)
    await end(next)
    row(
      `host killed with ${before.guest.open} streams: next host's first stream (Node's start included)`,
      ms(openedAt),
    )
    row(
      'and the old ones are gone in the guest',
      `${ms(cleared)}; goroutines ${before.guest.goroutines} → ${guest.goroutines}, ${again.opened_ms.length} new ones open`,
    )
  })
}

const from = performance.now()
try {
  execFileSync('go', ['-C', join(ROOT, 'native'), 'build', '-o', binary, './bench/dials'], {
    stdio: 'inherit',
  })
  for (const part of [windows, stalls, held, whole, limits, death]) await part()
  console.log(`${((performance.now() - from) / 1000).toFixed(0)} s`)
} finally {
  for (const child of children) child.kill('SIGKILL')
  rmSync(folder, { recursive: true, force: true })
}
