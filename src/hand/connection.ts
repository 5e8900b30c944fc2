/** One connection to a hand: JSON lines, requests answered in any order. */
import { connect, type Socket } from 'node:net'
import { isErrorCode, PyroError } from '../contract/errors.ts'
import type { CallOptions, HandProgress } from './protocol.ts'

const MAX_LINE = 8 * 1024 * 1024

export interface Connection {
  call: (op: string, args: object, options?: CallOptions) => Promise<unknown>
  close: () => void
  closed: Promise<void>
}

interface Answer {
  id: number
  result?: unknown
  error?: HandFault
  progress?: HandProgress
}
interface HandFault {
  code: string
  message: string
  path?: string
  hint?: string
}
interface Waiting {
  resolve: (result: unknown) => void
  reject: (error: Error) => void
  onProgress: ((progress: HandProgress) => void) | undefined
}

/** Connects through the holder's socket; the holder forks a hand from `binary` in its namespaces. */
export async function openHand(holderSocket: string, binary: string): Promise<Connection> {
  const socket = await dial(holderSocket)
  socket.write(`${JSON.stringify({ hand: binary })}\n`)
  const waiting = new Map<number, Waiting>()
  let nextId = 1
  let buffered: Buffer[] = []
  let size = 0

  const fail = (reason: string) => {
    const error = new PyroError('native_missing', `The host's file hand ended: ${reason}.`, {
      hint: 'Make the call again; if it repeats, see engine.log in PYRO_HOME.',
    })
    for (const one of waiting.values()) one.reject(error)
    waiting.clear()
    socket.destroy()
  }
  socket.on('data', (bytes: Buffer) => {
    let from = 0
    for (let at = bytes.indexOf(10); at !== -1; at = bytes.indexOf(10, from)) {
      buffered.push(bytes.subarray(from, at))
      receive(Buffer.concat(buffered))
      buffered = []
      size = 0
      from = at + 1
    }
    const rest = bytes.subarray(from)
    size += rest.length
    if (size > MAX_LINE) return fail('a line was too long')
    if (rest.length > 0) buffered.push(rest)
  })
  socket.on('error', (error) => fail(error.message))
  const closed = new Promise<void>((resolve) => {
    socket.on('close', () => {
      fail('its connection closed')
      resolve()
    })
  })

  function receive(line: Buffer): void {
    let answer: Answer
    try {
      answer = JSON.parse(line.toString()) as Answer
    } catch {
      fail('it sent a line that is not JSON')
      return
    }
    const one = waiting.get(answer.id)
    if (one === undefined) return
    if (answer.progress !== undefined) {
      one.onProgress?.(answer.progress)
      return
    }
    waiting.delete(answer.id)
    if (answer.error === undefined) one.resolve(answer.result)
    else one.reject(handError(answer.error))
  }

  return {
    closed,
    close: () => socket.end(),
    call(op, args, options = {}) {
      const id = nextId++
      const { signal, onProgress } = options
      return new Promise((resolve, reject) => {
        if (signal?.aborted) return reject(new PyroError('cancelled', 'The call was cancelled.'))
        if (socket.destroyed) return reject(new PyroError('native_missing', "The host's file hand is gone."))
        const cancel = () => socket.write(`${JSON.stringify({ cancel: id })}\n`)
        signal?.addEventListener('abort', cancel, { once: true })
        const afterwards =
          <T>(settle: (value: T) => void) =>
          (value: T) => {
            signal?.removeEventListener('abort', cancel)
            settle(value)
          }
        waiting.set(id, { resolve: afterwards(resolve), reject: afterwards(reject), onProgress })
        socket.write(`${JSON.stringify({ id, op, args })}\n`)
      })
    },
  }
}

const HINTS: Record<string, string> = {
  seed_changed: 'Something writes to the seed; make the call again when it is quiet.',
  disk_full: 'Free some space and try again; what had begun was undone.',
  output_exists: 'Choose another target, or ask to overwrite it.',
  output_parent_missing: 'Create the folder first.',
  build_failed: 'Make the call again; where a download failed, see that the archives can be reached.',
  tool_missing: 'Install it: sudo apt-get install e2fsprogs erofs-utils',
  seed_bare: 'Clone it instead: --repo with its path.',
  git_failed: 'See that git status works there.',
  output_unsuitable: 'Choose a target in a folder of your own.',
  seed_unsupported: 'Seed a directory, a .tar, a .tar.gz or a .tar.zst; unpack anything else first.',
  seed_unreadable: 'Choose a path that this user may read, and name it without links of others.',
  seed_invalid: 'Pack it again, from inside the directory: tar -C DIR -cf seed.tar .',
  seed_too_large:
    'Seed less, e.g. without what a build makes, or start the engine with a higher PYRO_SEED_MAX_BYTES or PYRO_SEED_MAX_ENTRIES.',
  link_leaves: 'Export what the link points to, from inside the workspace.',
  seed_overlap: 'Choose a seed that does not hold PYRO_HOME, and does not lie in it.',
}

function handError(error: HandFault): PyroError {
  const code = isErrorCode(error.code) ? error.code : 'io_error'
  return new PyroError(code, error.message, { hint: error.hint ?? HINTS[error.code], cause: error })
}

function dial(path: string): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(path, () => {
      socket.off('error', reject)
      resolve(socket)
    })
    socket.once('error', reject)
  })
}
