/**
 * An emulated machine against the same kernel with a bare init (native/bench/bare): how soon it serves, what a request
 * costs, how fast output comes out. The other side of each is the same virtio-serial port without anything of ours on it.
 */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import type { Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { settle } from '../src/backend/qemu/limits.ts'
import type { Guest } from '../src/channel/guest.ts'
import { type Machine, type Machines, machines } from '../test/support/machine.ts'
import { type Claim, ms, pairwise, summarize } from './stats.ts'

const BOOT_MS = 60_000
const BOOTS = 9
const TRIPS = 400
const POURS = 3
const BYTES = 256 * 1_048_576
/** Both sides are machines as workspaces get them. */
const LIMITS = (({ vcpu_count, mem_mib }) => ({ vcpu_count, mem_mib }))(settle({}, null))
/** About what a small request and its answer are. */
const ECHO = Buffer.alloc(200, 0x61)

export async function machineBench(): Promise<Claim[]> {
  const folder = mkdtempSync(join(tmpdir(), 'pyro-bare-'))
  const bare = join(folder, 'bare')
  execFileSync(
    'go',
    ['build', '-buildvcs=false', '-trimpath', '-ldflags=-s -w', '-o', bare, './bench/bare'],
    {
      cwd: join(import.meta.dirname, '../native'),
      env: { ...process.env, CGO_ENABLED: '0' },
    },
  )
  const ours = await machines()
  const theirs = await machines(bare)
  try {
    return [
      await bootClaim(ours, theirs),
      ...(await tripClaims(ours, theirs)),
      await outputClaim(ours, theirs),
    ]
  } finally {
    await ours.close()
    await theirs.close()
    rmSync(folder, { recursive: true, force: true })
  }
}

async function bootClaim(ours: Machines, theirs: Machines): Promise<Claim> {
  const ends: (() => Promise<void>)[] = []
  const boot = async (all: Machines, serves: (machine: Machine) => Promise<unknown>) => {
    const machine = await all.start({ limits: LIMITS })
    ends.push(() => machine.end())
    await serves(machine)
  }
  const [a, b] = await pairwise(
    BOOTS,
    () => boot(ours, (machine) => withGuest(machine, async () => {})),
    () => boot(theirs, (machine) => withPort(machine, async () => {})),
    async () => {
      for (const end of ends.splice(0)) await end()
    },
  )
  const factor = a.median / b.median
  return {
    what: 'cold boot of an emulated machine → serving',
    measured: ms(a.median),
    against: `the same kernel with a bare init, ${ms(b.median)}`,
    result: `${factor.toFixed(2)} ×`,
    bound: '≤ 1.15 ×',
    holds: factor <= 1.15,
  }
}

/** Both machines are up before either is asked, and they are asked in turn. */
function tripClaims(ours: Machines, theirs: Machines): Promise<Claim[]> {
  return withMachine(ours, (mine) =>
    withMachine(theirs, (bare) =>
      withGuest(mine, (guest) =>
        withPort(bare, async (port) => {
          port.write('echo\n')
          const beside = async (what: string, ask: () => Promise<void>, most: number | null) => {
            const [a, b] = await pairwise(TRIPS, ask, () => echo(port))
            const more = a.median - b.median
            return {
              what,
              measured: ms(a.median),
              against: `a raw echo on the same port, ${ms(b.median)}`,
              result: `+ ${ms(more)}`,
              bound: most === null ? 'reported' : `≤ + ${most} ms`,
              holds: most === null ? null : more <= most,
            }
          }
          return [
            await beside("a round trip over a machine's channel", () => guest.ping(), 0.3),
            await beside("a request to a machine's agent", () => guest.hello(), null),
          ]
        }),
      ),
    ),
  )
}

async function outputClaim(ours: Machines, theirs: Machines): Promise<Claim> {
  const [mine, raw]: [number[], number[]] = [[], []]
  // A pour is the end of a bare machine, so each round has one of its own.
  for (let round = 0; round < POURS; round++) {
    mine.push(await withMachine(ours, (machine) => withGuest(machine, consume)))
    raw.push(await withMachine(theirs, (machine) => withPort(machine, pour)))
  }
  const rate = (samples: number[]) => BYTES / 1e6 / (summarize(samples).median / 1000)
  const [a, b] = [rate(mine), rate(raw)]
  return {
    what: `${BYTES / 1_048_576} MiB of a command's output out of a machine`,
    measured: `${a.toFixed(0)} MB/s`,
    against: `a raw port, ${b.toFixed(0)} MB/s`,
    result: `${(a / b).toFixed(2)} ×`,
    bound: '≥ 0.5 ×',
    holds: a / b >= 0.5,
  }
}

async function withMachine<T>(all: Machines, work: (machine: Machine) => Promise<T>): Promise<T> {
  const machine = await all.start({ limits: LIMITS })
  try {
    return await work(machine)
  } finally {
    await machine.end()
  }
}

async function withGuest<T>(machine: Machine, work: (guest: Guest) => Promise<T>): Promise<T> {
  const guest = machine.channel()
  try {
    await guest.hello(BOOT_MS)
    return await work(guest)
  } finally {
    guest.close()
  }
}

async function withPort<T>(machine: Machine, work: (port: Socket) => Promise<T>): Promise<T> {
  const port = machine.port()
  try {
    await take(port, 1)
    return await work(port)
  } finally {
    port.destroy()
  }
}

async function echo(port: Socket): Promise<void> {
  port.write(ECHO)
  await take(port, ECHO.length)
}

async function pour(port: Socket): Promise<number> {
  const from = performance.now()
  port.write(`pour ${BYTES}\n`)
  await take(port, BYTES)
  return performance.now() - from
}

/** Throws away so many bytes. */
function take(port: Socket, count: number): Promise<void> {
  return new Promise((resolve, reject) => {
    let left = count
    const more = (bytes: Buffer) => {
      left -= bytes.length
      if (left <= 0) settle(resolve)
    }
    const settle = (done: () => void) => {
      port.off('data', more).off('error', reject)
      clearTimeout(timer)
      done()
    }
    const timer = setTimeout(() => settle(() => reject(new Error(`${left} bytes did not come`))), BOOT_MS)
    port.on('data', more).on('error', reject)
  })
}

/** A command's output as the engine reads it for whoever is not on this machine. */
async function consume(guest: Guest): Promise<number> {
  const from = performance.now()
  const argv = ['head', '-c', String(BYTES), '/dev/zero']
  const spec = { id: 'pour', argv, cwd: '/', env: {}, user: '', timeout_ms: 0 }
  await guest.start({ ...spec, stdin: 'none', spool_bytes: 32 * 1_048_576, attach: true }, 0, 0)
  for (let cursor = 0; ; ) {
    const status = await guest.wait('pour', 10_000, { stdout: cursor, stderr: 0 }, true)
    if (cursor >= status.stdout.end && status.state === 'exited') {
      if (cursor !== BYTES) throw new Error(`${cursor} of ${BYTES} bytes arrived`)
      return performance.now() - from
    }
    while (cursor < status.stdout.end) {
      const part = await guest.output('pour', 'stdout', cursor, 4 * 1_048_576)
      if (part.from !== cursor) throw new Error(`output is missing before ${part.from}`)
      cursor += part.data.length
    }
  }
}

if (import.meta.main)
  for (const { what, measured, against, result, bound, holds } of await machineBench())
    console.error(
      `${what}: ${measured} against ${against}: ${result} (${bound}) ${holds === null ? '' : holds ? 'holds' : 'DOES NOT HOLD'}`,
    )
