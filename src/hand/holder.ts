/** The holder: the process that keeps the user and mount namespaces of one PYRO_HOME while engines come and go. */
import { spawn } from 'node:child_process'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import { isErrorCode, PyroError } from '../contract/errors.ts'

export interface HolderFiles {
  binary: string
  socket: string
  info: string
}

const START_MS = 15_000

/**
 * Starts a holder and waits until it serves.
 * @throws subids_missing, userns_denied, native_missing with what would mend it.
 */
export async function startHolder({ binary, socket, info }: HolderFiles): Promise<void> {
  const child = spawn(binary, ['hold', '--socket', socket, '--info', info], {
    detached: true,
    stdio: ['ignore', 'pipe', 'ignore'],
    cwd: '/',
    env: { PATH: process.env['PATH'] ?? '/usr/bin:/bin:/usr/sbin:/sbin', HOME: process.env['HOME'] ?? '/' },
  })
  child.unref()
  const failed = (message: string, cause?: unknown) =>
    new PyroError('native_missing', message, {
      hint: 'Run scripts/bootstrap, or install the package again.',
      cause,
    })
  try {
    const line = await new Promise<string>((resolve, reject) => {
      const late = () => reject(new PyroError('timed_out', 'The holder did not start in time.'))
      const timer = setTimeout(late, START_MS)
      child.once('error', (error) =>
        reject(failed(`The native binary could not be run: ${error.message}`, error)),
      )
      const lines = createInterface({ input: child.stdout })
      lines.once('line', resolve)
      lines.once('close', () => reject(failed('The holder ended without a word.')))
      lines.once('close', () => clearTimeout(timer))
    })
    const { error } = JSON.parse(line) as { error?: { code: string; message: string; hint?: string } }
    if (error) {
      const code = isErrorCode(error.code) ? error.code : 'userns_denied'
      throw new PyroError(code, error.message, { hint: error.hint })
    }
  } catch (error) {
    child.kill('SIGKILL')
    throw error
  } finally {
    child.stdout.destroy()
  }
}

/** Asks the holder to end, and with it its mounts. Resolves when it is gone, or was not there. */
export function endHolder(socket: string): Promise<void> {
  return new Promise((resolve) => {
    const link = connect(socket, () => link.write(`${JSON.stringify({ exit: true })}\n`))
    link.setTimeout(5000, () => link.destroy())
    link.on('error', () => {})
    link.on('close', () => resolve())
    link.resume()
  })
}
