/**
 * From nothing to a first result: create and exec through an open connection, against a bare `runc run` of the same
 * bundle (same root, mounts, seccomp and namespaces, with /bin/true as its process), run from inside the holder's
 * namespaces, where the mounts are.
 */
import { execFileSync, spawn } from 'node:child_process'
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { join } from 'node:path'
import type { Bench } from './engine.ts'
import { ociSeccomp } from './seccomp.ts'
import { type Claim, ms, pairwise, ratio, summarize, time } from './stats.ts'

const ROUNDS = 30

export async function startBench({ pyro, home, engine, who }: Bench): Promise<Claim> {
  const model = await pyro.createWorkspace({ environment: 'host' })
  const bare = bareRunner(home, model.workspaceId, engine.holderPid, who)
  const created: string[] = []
  const [ours, theirs] = await pairwise(
    ROUNDS,
    async () => {
      const { workspaceId } = await pyro.createWorkspace({ environment: 'host' })
      created.push(workspaceId)
      const done = await pyro.execWorkspace({ workspaceId, command: ['/bin/true'] })
      if (done.exitCode !== 0) throw new Error(`exit code ${done.exitCode}`)
    },
    bare.run,
    async () => {
      for (const workspaceId of created.splice(0)) await pyro.deleteWorkspace({ workspaceId })
    },
  )
  bare.close()
  await pyro.deleteWorkspace({ workspaceId: model.workspaceId })
  return {
    what: `create → first exec, ${who}`,
    measured: ms(ours.median),
    against: `bare runc run, ${ms(theirs.median)}`,
    result: ratio(ours.median, theirs.median),
    bound: '≤ 1.3 ×',
    holds: ours.median <= 1.3 * theirs.median,
  }
}

/** A process in the holder's namespaces that runs the runtime once per line it is given. */
function bareRunner(home: string, model: string, holder: number, who: 'root' | 'user') {
  const bundle = join(home, 'bench-bundle')
  mkdirSync(bundle, { recursive: true })
  const config = JSON.parse(readFileSync(join(home, 'workspaces', model, 'bundle/config.json'), 'utf8'))
  config.process.args = ['/bin/true']
  // The same confinement as Pyro's init gives, in the runtime's own way.
  config.linux.seccomp = ociSeccomp()
  if (config.linux.cgroupsPath) config.linux.cgroupsPath = '/pyro-bench'
  writeFileSync(join(bundle, 'config.json'), JSON.stringify(config))
  const rootless = who === 'user' ? '--rootless true ' : ''
  const loop = `while read n; do runc --root ${home}/bench-runtime ${rootless}run --bundle ${bundle} bench-$n </dev/null >/dev/null 2>&1; echo $?; done`
  const enter = [
    '--target',
    String(holder),
    '--mount',
    ...(who === 'user' ? ['--user', '--preserve-credentials'] : []),
  ]
  const child = spawn('nsenter', [...enter, 'sh', '-c', loop], { stdio: ['pipe', 'pipe', 'inherit'] })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  let n = 0
  return {
    async run() {
      child.stdin.write(`${n++}\n`)
      const { value } = await lines.next()
      if (value !== '0') throw new Error(`bare runc run ended with ${value}`)
    },
    close: () => child.stdin.end(),
  }
}

/** A command in a running workspace, against a process spawned by a program inside. */
export async function execBench({ pyro, who }: Bench): Promise<Claim[]> {
  const { workspaceId } = await pyro.createWorkspace({ environment: 'host' })
  const program = [
    'import os, time',
    'def once():',
    '  t = time.perf_counter(); os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0); return (time.perf_counter() - t) * 1000',
    'once()',
    'print("\\n".join(str(once()) for _ in range(300)))',
  ].join('\n')
  const inside = await pyro.execWorkspace({ workspaceId, command: ['python3', '-c', program] })
  const spawned = summarize(inside.stdout.trim().split('\n').map(Number))
  const samples: number[] = []
  const command = ['/bin/true']
  for (let i = 0; i < 20; i++) await pyro.execWorkspace({ workspaceId, command })
  for (let i = 0; i < 300; i++) samples.push(await time(() => pyro.execWorkspace({ workspaceId, command })))
  const ours = summarize(samples)
  await pyro.deleteWorkspace({ workspaceId })
  const claim = (name: 'median' | 'p99', more: number): Claim => ({
    what: `exec of /bin/true, ${name}, ${who}`,
    measured: ms(ours[name]),
    against: `a spawn inside, ${ms(spawned[name])}`,
    result: `+ ${ms(ours[name] - spawned[name])}`,
    bound: `≤ + ${more} ms`,
    holds: ours[name] - spawned[name] <= more,
  })
  return [claim('median', 3), claim('p99', 10)]
}

export function versionOf(program: string): string {
  return execFileSync(program, ['--version'], { encoding: 'utf8' }).split('\n')[0]!
}
