/** 1 GiB of a command's output, consumed by a Node program: through the SDK, and from a pipe of `runc exec`. */
import { spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Bench } from './engine.ts'
import { type Claim, pairwise } from './stats.ts'

const BYTES = 1 << 30
const COMMAND = ['head', '-c', String(BYTES), '/dev/zero']

export async function outputBench({ pyro, home, engine }: Bench): Promise<Claim[]> {
  const { workspaceId } = await pyro.createWorkspace({ environment: 'host' })
  const whole = (seen: number) => {
    if (seen !== BYTES) throw new Error(`${seen} of ${BYTES} bytes arrived`)
  }
  const [ours, theirs] = await pairwise(
    5,
    async () => {
      const job = await pyro.exec(workspaceId, COMMAND, { copy: false })
      let seen = 0
      for await (const part of job.stdout) seen += part.length
      await job.result
      whole(seen)
    },
    async () => {
      // In the holder's mount namespace, where the root that the runtime enters is mounted.
      const runc = ['runc', '--root', join(home, 'runtime'), 'exec', workspaceId, ...COMMAND]
      const enter = ['--target', String(engine.holderPid), '--mount', ...runc]
      const child = spawn('nsenter', enter, { stdio: ['ignore', 'pipe', 'inherit'] })
      let seen = 0
      for await (const part of child.stdout) seen += part.length
      whole(seen)
    },
  )
  await pyro.deleteWorkspace({ workspaceId })
  const rate = (median: number) => BYTES / 1e6 / (median / 1000)
  const peak = peakMemory(engine.pid)
  return [
    {
      what: '1 GiB of output',
      measured: `${rate(ours.median).toFixed(0)} MB/s`,
      against: `runc exec, ${rate(theirs.median).toFixed(0)} MB/s`,
      result: `${(theirs.median / ours.median).toFixed(2)} ×`,
      bound: '≥ 2 ×',
      holds: theirs.median / ours.median >= 2,
    },
    {
      what: "the engine's peak memory in this whole run so far",
      measured: `${peak.toFixed(0)} MB`,
      against: '',
      result: '',
      bound: '< 150 MB',
      holds: peak < 150,
    },
  ]
}

/** Highest resident set so far, in MB. */
export function peakMemory(pid: number): number {
  const line = /VmHWM:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))
  return (Number(line?.[1]) * 1024) / 1e6
}
