/** The command line as it is installed, compile cache warm, against `node -e 0`. */
import { execFileSync } from 'node:child_process'
import { join, resolve } from 'node:path'
import type { Bench } from './engine.ts'
import { installed } from './installed.ts'
import { type Claim, ms, pairwise, ratio } from './stats.ts'

export async function cliBench({ folder }: Bench): Promise<Claim> {
  const env = {
    ...process.env,
    NODE_COMPILE_CACHE: join(folder, 'compile-cache'),
    PATH: `${resolve(process.execPath, '..')}:${process.env['PATH']}`,
  }
  const pyro = join(installed(), 'bin/pyro')
  const quiet = { env, stdio: ['ignore', 'ignore', 'inherit'] as ['ignore', 'ignore', 'inherit'] }
  for (let i = 0; i < 3; i++) execFileSync(pyro, ['workspace', 'list'], quiet)
  const [ours, theirs] = await pairwise(
    40,
    async () => execFileSync(pyro, ['workspace', 'list'], quiet),
    async () => execFileSync(process.execPath, ['-e', '0'], quiet),
  )
  return {
    what: 'pyro workspace list, engine running',
    measured: ms(ours.median),
    against: `node -e 0, ${ms(theirs.median)}`,
    result: ratio(ours.median, theirs.median),
    bound: '≤ 1.6 ×',
    holds: ours.median <= 1.6 * theirs.median,
  }
}
