/** Starting a machine's process, all or nothing: what backends of virtual machines have in common. */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { PyroError } from '../contract/errors.ts'
import { plain } from '../contract/plain.ts'
import type { Hand, HandOperations, MachineProgram } from '../hand/protocol.ts'

type Started = HandOperations['machine_start'][1]

/** How much of a console's end is looked at for a reason. */
const TAIL_BYTES = 4096
const LAST_LINES = 4
const LAST_CHARACTERS = 600

/**
 * Starts the program and waits until `ready` says that it is a machine. When that fails nothing is left but the console,
 * whose end is part of the error.
 * @throws machine_failed, or the hand's own errors.
 */
export async function startMachine(
  hand: Hand,
  program: MachineProgram,
  ready: () => Promise<void>,
): Promise<Started> {
  const started = await hand('machine_start', program)
  try {
    await ready()
    return started
  } catch (cause) {
    await hand('machine_stop', { ...started, ...leavings(program) })
    throw failure(program, cause)
  }
}

/** What `machine_stop` has to remove besides the process. */
export function leavings({ record, cgroup, sockets = [] }: MachineProgram) {
  return { record, cgroup: cgroup?.path ?? null, sockets }
}

function failure({ program, console }: MachineProgram, cause: unknown): PyroError {
  const words = lastWords(console)
  const why = words || (cause instanceof Error ? cause.message : String(cause))
  return new PyroError('machine_failed', `${program} did not start a machine: ${why}`, {
    hint: `See ${console}.`,
    cause,
  })
}

/** The last lines of a console, as one line without control characters: a guest may have written them. */
export function lastWords(path: string): string {
  return readTail(path)
    .replace(/\x1b\[[0-9;?]*[A-Za-z]/g, '')
    .split(/[\r\n]+/)
    .map((line) => plain(line).trim())
    .filter((line) => line !== '')
    .slice(-LAST_LINES)
    .join('; ')
    .slice(-LAST_CHARACTERS)
}

/** The end of a console; empty where there is none that can be read. */
export function readTail(path: string, bytes = TAIL_BYTES): string {
  let fd: number
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch {
    return ''
  }
  try {
    const buffer = Buffer.alloc(bytes)
    const length = readSync(fd, buffer, 0, bytes, Math.max(0, fstatSync(fd).size - bytes))
    return buffer.toString('latin1', 0, length)
  } catch {
    // No regular file. The error that this is for is worth more than the reason.
    return ''
  } finally {
    closeSync(fd)
  }
}
