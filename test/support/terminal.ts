/** A shell that believes it is typed into: keys in, what comes on its terminal out. */
import { spawn, spawnSync } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'

export const installed = (program: string): boolean => spawnSync('which', [program]).status === 0

export interface Typist {
  /** Types, and gives the first match of what then comes. */
  type: (keys: string, until: RegExp) => Promise<RegExpExecArray>
  close: () => Promise<void>
}

/** The command runs on a pseudo-terminal of its own, which `script` (util-linux) makes. */
export function terminal(command: string, env: NodeJS.ProcessEnv, cwd: string): Typist {
  const child = spawn('script', ['-qec', command, '/dev/null'], { env: { ...env, TERM: 'dumb' }, cwd })
  let shown = ''
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text) => {
      shown += text
    })
  const ended = new Promise((done) => child.once('close', done))
  return {
    async type(keys, until) {
      shown = ''
      child.stdin.write(keys)
      for (const end = Date.now() + 20_000; Date.now() < end; await sleep(20)) {
        const found = until.exec(shown)
        if (found !== null) return found
      }
      throw new Error(`typed ${JSON.stringify(keys)}, saw ${JSON.stringify(shown)}`)
    },
    async close() {
      child.kill('SIGKILL')
      await ended
    },
  }
}
