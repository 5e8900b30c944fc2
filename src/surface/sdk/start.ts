/** Starts the engine of a PYRO_HOME, or waits for the one that another client is starting. */
import { closeSync, existsSync, mkdirSync, openSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type ErrorBody, PyroError, isErrorCode } from '../../contract/errors.ts'
import type { Paths } from '../../wiring/paths.ts'
import { takeTurn } from './turn.ts'

const START_MS = 10_000
const POLL_MS = 10
/** An engine that stops lets what it does end first. */
const STOP_MS = 40_000
/** A start that lost the race to another one is tried again when that one does not answer either. */
const AGAIN_MS = 1500

/** The engine is there all day and makes short-lived objects only: a small young generation keeps it small. */
const ENGINE_FLAGS = ['--max-semi-space-size=4']

interface StartOptions {
  paths: Paths
  env: NodeJS.ProcessEnv
  signal?: AbortSignal | undefined
}

/** @throws the error that kept the engine from starting; engine_unreachable */
export async function startEngine({ paths, env, signal }: StartOptions): Promise<void> {
  const deadline = performance.now() + START_MS
  const turn = join(paths.home, 'engine.starting')
  let attempt: Attempt | undefined
  let endTurn: (() => void) | undefined
  mkdirSync(paths.home, { recursive: true, mode: 0o700 })
  try {
    do {
      if (signal?.aborted)
        throw new PyroError('cancelled', 'The call was cancelled.', { cause: signal.reason })
      const now = performance.now()
      if (now > deadline) throw unreachable(paths, `it did not answer within ${START_MS / 1000} seconds`)
      if (attempt?.exit !== undefined && attempt.exit !== 0) throw startupError(paths, attempt.since)
      endTurn ??= takeTurn(turn)
      const over = attempt === undefined || (attempt.exit === 0 && now - attempt.at > AGAIN_MS)
      if (endTurn !== undefined && over) attempt = launch(paths, env)
      await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    } while (!(await connects(paths.socket)))
  } finally {
    endTurn?.()
  }
}

export function connects(socket: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = process.getBuiltinModule('node:net').connect(socket)
    connection.once('connect', () => {
      connection.destroy()
      resolve(true)
    })
    connection.once('error', () => resolve(false))
  })
}

/** Waits for an engine that was told to stop, so that whoever told it finds nothing of it left. */
export async function ended(pid: number): Promise<void> {
  for (const deadline = performance.now() + STOP_MS; performance.now() < deadline; ) {
    try {
      process.kill(pid, 0)
    } catch {
      return
    }
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
  }
}

interface Attempt {
  /** When it was made: by the steady clock, and by the file system's. */
  at: number
  since: number
  /** Exit status once it has ended: 0 when another engine has the home. */
  exit?: number
}

function launch(paths: Paths, env: NodeJS.ProcessEnv): Attempt {
  const log = openSync(paths.log, 'a', 0o600)
  const attempt: Attempt = { at: performance.now(), since: Date.now() }
  try {
    const child = process
      .getBuiltinModule('node:child_process')
      .spawn(process.execPath, [...ENGINE_FLAGS, engineEntry()], {
        cwd: '/',
        detached: true,
        stdio: ['ignore', log, log],
        env: ownEnv(env),
      })
    child.unref()
    child.once('exit', (code) => {
      attempt.exit = code ?? 70
    })
    child.once('error', () => {
      attempt.exit = 70
    })
  } finally {
    closeSync(log)
  }
  return attempt
}

/** What is meant for clients stays with them: an engine's environment can be read as long as it runs. */
function ownEnv({ PYRO_URL: _url, PYRO_TOKEN: _token, ...env }: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return env
}

/** In a checkout the source; in a published package the bundle beside this one, which may be a chunk in a folder. */
function engineEntry(): string {
  const entries = ['../../wiring/daemon.ts', './daemon.js', '../daemon.js']
  const paths = entries.map((entry) => fileURLToPath(new URL(entry, import.meta.url)))
  return paths.find((path) => existsSync(path)) ?? paths[0]!
}

function startupError(paths: Paths, since: number): PyroError {
  try {
    // The clocks of files are coarse; an older file tells of an older start.
    if (statSync(paths.startupError).mtimeMs < since - 50) return unreachable(paths, 'it ended at once')
    const { error } = JSON.parse(readFileSync(paths.startupError, 'utf8')) as { error: ErrorBody }
    return new PyroError(isErrorCode(error.code) ? error.code : 'internal', error.message, {
      hint: error.hint,
    })
  } catch {
    return unreachable(paths, 'it ended at once')
  }
}

function unreachable(paths: Paths, how: string): PyroError {
  return new PyroError('engine_unreachable', `The engine could not be started: ${how}.`, {
    hint: `See ${paths.log}.`,
  })
}
