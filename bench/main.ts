/** Measures every claim and writes them into docs/performance.md. As root it measures the ordinary user's case too. */
import { execFileSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { cpus, release, tmpdir, userInfo } from 'node:os'
import { join, resolve } from 'node:path'
import { cliBench } from './cli.ts'
import { withEngine } from './engine.ts'
import { handOn, remove } from './installed.ts'
import { outputBench } from './output.ts'
import { machineBench } from './machine.ts'
import { SEED_SHAPES, seedBench } from './seed.ts'
import { execBench, startBench, versionOf } from './start.ts'
import type { Claim } from './stats.ts'
import { missingForMachines } from '../test/support/machines.ts'

const ROOT = resolve(import.meta.dirname, '..')
const asUser = process.argv.includes('--as-user')
const isRoot = userInfo().uid === 0

const claims: Claim[] = []
async function add(work: Promise<Claim | Claim[]>): Promise<void> {
  for (const claim of [await work].flat()) note(claim)
}
function note(claim: Claim): void {
  claims.push(claim)
  const verdict = claim.holds === null ? '' : claim.holds ? 'holds' : 'DOES NOT HOLD'
  const { what, measured, against, result, bound } = claim
  console.error(`${what}: ${measured} against ${against}: ${result} (${bound}) ${verdict}`)
}

/** The same program as an ordinary user that is made for it. */
function ordinaryUser(): Claim[] {
  const name = `pyrobench${process.pid}`
  const folder = mkdtempSync(join(tmpdir(), 'pyro-bench-'))
  execFileSync('useradd', ['--create-home', name])
  execFileSync('chown', [`${name}:`, folder])
  try {
    const unset = ['PYRO_CACHE', 'PYRO_HOME', 'XDG_RUNTIME_DIR'].flatMap((key) => ['-u', key])
    const run = [process.execPath, join(ROOT, 'bench/main.ts'), '--as-user']
    const args = ['-u', name, '--', 'env', ...unset, `PYRO_BENCH_FOLDER=${folder}`, handOn(), ...run]
    const said = execFileSync('runuser', args, {
      encoding: 'utf8',
      cwd: '/',
      stdio: ['ignore', 'pipe', 'ignore'],
    })
    return JSON.parse(said)
  } finally {
    execFileSync('userdel', ['--remove', '--force', name], { stdio: 'ignore' })
    rmSync(folder, { recursive: true, force: true })
  }
}

// Seeds come last: what they leave the disk to do would slow everything after them.
await withEngine(isRoot ? 'root' : 'user', async (bench) => {
  await add(startBench(bench))
  await add(execBench(bench))
  if (asUser) return
  await add(outputBench(bench))
  await add(cliBench(bench))
  if (isRoot) for (const claim of ordinaryUser()) note(claim)
  if (missingForMachines().length === 0) await add(machineBench())
  for (const shape of Object.values(SEED_SHAPES)) await add(seedBench(bench, 1000, shape))
  const { directory, checkout } = SEED_SHAPES
  for (const shape of [directory, checkout]) await add(seedBench(bench, 100_000, shape))
}).finally(remove)

if (asUser) console.log(JSON.stringify(claims))
else {
  writeFileSync(join(ROOT, 'docs/performance.md'), page(claims))
  console.error(
    `docs/performance.md written; ${claims.filter(({ holds }) => holds === false).length} claims do not hold`,
  )
}

function page(claims: Claim[]): string {
  const rows = claims.map(
    ({ what, measured, against, result, bound, holds }) =>
      `| ${what} | ${measured} | ${against} | ${result} | ${bound} | ${holds === null ? '' : holds ? 'yes' : '**no**'} |`,
  )
  const cpu = cpus()
  return `<!-- Written by npm run bench. Do not edit. -->
# Performance

Written by \`npm run bench\` on ${new Date().toISOString().slice(0, 10)}: ${cpu.length} × ${cpu[0]?.model.trim()}, Linux ${release()}, Node ${process.version},
${versionOf('runc')}. The engine, the SDK and the command line are those of
the packed and unpacked package. Figures are medians of one run; both sides of a comparison are measured in turn in that run, so the
ratios are what to look at.

| what | measured | against | result | bound | holds |
|---|---|---|---|---|---|
${rows.join('\n')}

## What each is made of

- **create → first exec**: two calls through an open SDK connection. Three records, one request that makes two mounts and
  starts the OCI runtime, one HTTP/2 connection. The other side runs the same bundle with the same confinement, from a shell
  that is already in the namespaces where its mounts are, and lets the runtime compile the seccomp profile, as it would.
  Each workspace is deleted before the next round, outside the time; the bare runtime removes its container inside it.
- **exec**: one call, one request to the agent, two records. The other side is posix_spawn and wait in a program inside.
- **output**: the agent splices a command's pipe into a ring file; a reader on this machine reads that file and
  acknowledges by cursor, so bytes do not pass through the engine.
- **machine**: emulated here, so both sides are, with the processors and the memory that a workspace gets by default. Serving
  is a request answered by the agent, after the modules, the disks and the root; the bare init opens one port and writes a
  byte. Its machine has the same disks. A round trip over the channel is a PING of HTTP/2 on the session that is kept: what
  every message on it costs before an agent looks at it. A request is that with a stream, its headers and JSON, in Go on
  an emulated processor. A command's output is the time of \`head\`, its pipe, the spool and the reading of it through the
  channel; the raw port's bytes come out of one piece of memory.
- **seed**: the time of a seeded create less that of an empty one; of 100,000 files in a single round. An archive is read by one thread while others write what
  came out of it; all that a seed refuses is looked for on the way.
`
}
