/** A real engine in a process of its own, with its own PYRO_HOME, asked over its socket. */
import { type ChildProcess, spawn } from 'node:child_process'
import { chmodSync, chownSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ErrorBody } from '../../src/contract/errors.ts'
import type { InputOf, OperationName, OutputOf } from '../../src/contract/table.ts'
import { resolvePaths } from '../../src/wiring/paths.ts'
import { checkoutFor, ROOT, type User } from './users.ts'

export { ROOT }
const START_MS = 20_000

export interface EngineOptions {
  /** Used again by a second engine over the same state. */
  folder?: string
  env?: Record<string, string>
  /** Runs the engine as this user instead of the present one. */
  user?: User | undefined
}
export class Refused extends Error {
  readonly body: ErrorBody
  constructor(body: ErrorBody) {
    super(`${body.code}: ${body.message}`)
    this.body = body
  }
}
/** The connection broke before there was an answer, as when the engine was killed. */
export class Lost extends Error {}

export interface TestEngine {
  folder: string
  env: NodeJS.ProcessEnv
  home: string
  process: ChildProcess
  call: <N extends OperationName>(name: N, input: InputOf<N>, signal?: AbortSignal) => Promise<OutputOf<N>>
  /** Resolves with how the process ended. */
  ended: Promise<{ code: number | null; signal: string | null }>
  kill: () => Promise<void>
  /** Deletes every workspace, ends engine and holder. */
  stop: () => Promise<void>
}

export function newFolder(user?: User): string {
  const folder = mkdtempSync(join(tmpdir(), 'pyro-test-'))
  mkdirSync(join(folder, 'run'), { mode: 0o700 })
  mkdirSync(join(folder, 'home'), { mode: 0o700 })
  mkdirSync(join(folder, 'cache'), { mode: 0o700 })
  chmodSync(folder, 0o755)
  if (user) for (const path of ['', 'run', 'home', 'cache']) chownSync(join(folder, path), user.uid, user.gid)
  return folder
}

/** The cache is shared by all tests of one user: another user's would hold what that user cannot read. */
export function engineEnv(
  folder: string,
  extra: Record<string, string> = {},
  user?: User,
): NodeJS.ProcessEnv {
  return {
    PATH: process.env['PATH'] ?? '/usr/bin:/bin',
    HOME: folder,
    PYRO_HOME: join(folder, 'home'),
    PYRO_CACHE: user
      ? join(user.home, '.cache/pyro')
      : (process.env['PYRO_TEST_CACHE'] ?? join(folder, 'cache')),
    XDG_RUNTIME_DIR: join(folder, 'run'),
    PYRO_SHARED: process.env['PYRO_SHARED'] ?? join(folder, 'shared'),
    ...extra,
  }
}

const alive = new Set<ChildProcess>()

/** Ends the engines that a failed test left, so that the next one finds none. */
export function killEngines(): void {
  for (const child of alive) child.kill('SIGKILL')
}

export async function startEngine({
  folder = newFolder(),
  env: extra = {},
  user,
}: EngineOptions = {}): Promise<TestEngine> {
  const env = engineEnv(folder, extra, user)
  const paths = resolvePaths(env)
  const checkout = user ? checkoutFor(user) : ROOT
  const child = spawn(process.execPath.replace(ROOT, checkout), [join(checkout, 'src/wiring/daemon.ts')], {
    env,
    cwd: '/',
    stdio: ['ignore', 'ignore', 'pipe'],
    ...(user ? { uid: user.uid, gid: user.gid } : {}),
  })
  alive.add(child)
  child.once('exit', () => alive.delete(child))
  let complaints = ''
  child.stderr.on('data', (text) => {
    complaints += text
  })
  const ended = new Promise<{ code: number | null; signal: string | null }>((done) => {
    child.once('exit', (code, signal) => done({ code, signal }))
  })
  const call: TestEngine['call'] = (name, input, signal) => ask(paths.socket, name, input, signal)
  const deadline = Date.now() + START_MS
  for (;;) {
    const answered = await call('daemon_status', {}).then(
      (status) => status.pid === child.pid,
      () => false,
    )
    if (answered) break
    const gone = child.exitCode !== null || child.signalCode !== null
    if (gone || Date.now() > deadline) {
      child.kill('SIGKILL')
      const said = existsSync(paths.startupError) ? readFileSync(paths.startupError, 'utf8') : complaints
      throw new Error(`engine did not start: ${said}`)
    }
    await new Promise((done) => setTimeout(done, 20))
  }
  return {
    folder,
    env,
    home: paths.home,
    process: child,
    call,
    ended,
    async kill() {
      child.kill('SIGKILL')
      await ended
    },
    async stop() {
      await call('daemon_stop', { delete_workspaces: true }).catch((error) => {
        if (!(error instanceof Lost)) throw error
      })
      await ended
    },
  }
}

export function removeFolder(folder: string): void {
  rmSync(folder, { recursive: true, force: true })
}

function ask<N extends OperationName>(
  socketPath: string,
  name: N,
  input: unknown,
  signal?: AbortSignal,
): Promise<OutputOf<N>> {
  return new Promise((done, fail) => {
    const sent = request(
      {
        socketPath,
        path: `/v1/${name}`,
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        ...(signal ? { signal } : {}),
      },
      (answer) => {
        const parts: Buffer[] = []
        answer.on('data', (part: Buffer) => parts.push(part))
        answer.on('error', (error) => fail(new Lost(error.message)))
        answer.on('end', () => {
          const body = JSON.parse(Buffer.concat(parts).toString())
          if (answer.statusCode === 200) done(body)
          else fail(new Refused(body.error))
        })
      },
    )
    sent.on('error', (error) => fail(new Lost(error.message)))
    // An environment is downloaded and built where there is none yet.
    sent.setTimeout(400_000, () => sent.destroy(new Error('no answer in 400 s')))
    sent.end(JSON.stringify(input))
  })
}
