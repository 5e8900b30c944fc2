/** What a benchmark is given: a connected client, and where its engine keeps things. */
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Pyro } from '../src/surface/sdk/index.ts'
import { installed } from './installed.ts'

export interface Bench {
  pyro: Pyro
  folder: string
  home: string
  engine: { pid: number; holderPid: number }
  who: 'root' | 'user'
}

/** Runs the work on an engine of its own, out of the installed package, and leaves nothing. */
export async function withEngine<T>(who: Bench['who'], work: (bench: Bench) => Promise<T>): Promise<T> {
  const given = process.env['PYRO_BENCH_FOLDER']
  const folder = given ?? mkdtempSync(join(tmpdir(), 'pyro-bench-'))
  const home = join(folder, 'home')
  mkdirSync(join(folder, 'run'), { mode: 0o700 })
  Object.assign(process.env, { PYRO_HOME: home, XDG_RUNTIME_DIR: join(folder, 'run') })
  process.env['PYRO_CACHE'] ??= join(folder, 'cache')
  const sdk: typeof import('../src/surface/sdk/index.ts') = await import(join(installed(), 'dist/sdk.js'))
  const pyro = await sdk.Pyro.connect({ home })
  try {
    const first = await pyro.createWorkspace({ environment: 'host' })
    await pyro.deleteWorkspace({ workspaceId: first.workspaceId })
    const { pid, holderPid } = await pyro.statusDaemon({})
    return await work({ pyro, folder, home, engine: { pid: pid!, holderPid: holderPid! }, who })
  } finally {
    await pyro.stopDaemon({ deleteWorkspaces: true })
    // What belongs to subordinate ids is removed by whoever gave the folder.
    if (given === undefined) rmSync(folder, { recursive: true, force: true })
  }
}
