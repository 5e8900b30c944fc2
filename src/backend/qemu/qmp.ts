/**
 * QEMU's machine protocol, as much of it as we say: JSON lines, a greeting, commands with ids, events. QEMU may have been
 * taken over by its guest, so what it says is bounded and checked.
 */
import { connect } from 'node:net'
import type { Duplex } from 'node:stream'
import { z } from 'zod'
import { PyroError } from '../../contract/errors.ts'
import { plain } from '../../contract/plain.ts'

const MAX_LINE = 256 * 1024
const MAX_WAITING = 64
const DEFAULT_MS = 10_000

const name = z.string().max(128)
const version = z.object({ major: z.int(), minor: z.int(), micro: z.int() })
const greeting = z.object({ QMP: z.object({ version: z.object({ qemu: version }) }) })
/** Of a command, which are counted from 1. */
const id = z.int().min(1)
const answer = z.object({ id, return: z.unknown() })
const refusal = z.object({ id, error: z.object({ class: name, desc: z.string().max(4096) }) })
const event = z.object({ event: name, data: z.record(z.string(), z.unknown()).optional() })

/** What can be asked, and what an answer must be. */
const COMMANDS = {
  qmp_capabilities: z.looseObject({}),
  'query-status': z.object({ status: name, running: z.boolean() }),
  'query-kvm': z.object({ enabled: z.boolean(), present: z.boolean() }),
  stop: z.looseObject({}),
  cont: z.looseObject({}),
  quit: z.looseObject({}),
}
type Commands = typeof COMMANDS

export type QmpEvent = z.infer<typeof event>

export interface Qmp {
  version: z.infer<typeof version>
  /** @throws machine_failed with QEMU's own words; guest_unreachable where it says nothing, or nothing sensible. */
  execute: <C extends keyof Commands>(command: C) => Promise<z.infer<Commands[C]>>
  close: () => void
}

export interface QmpOptions {
  /** Bound for the greeting and for each answer. */
  timeoutMs?: number
  onEvent?: (event: QmpEvent) => void
}

/** Connects and negotiates. QEMU serves one connection at a time: another waits until this one is closed. */
export function openQmp(path: string, options?: QmpOptions): Promise<Qmp> {
  return speakQmp(connect(path), options)
}

/** The protocol over any stream, which it owns from here on. */
export async function speakQmp(
  stream: Duplex,
  { timeoutMs = DEFAULT_MS, onEvent }: QmpOptions = {},
): Promise<Qmp> {
  type Waiting = { resolve: (message: unknown) => void; reject: (error: Error) => void }
  const waiting = new Map<number, Waiting>()
  const GREETING = 0
  let nextId = 1
  let ended: Error | null = null

  const end = (why: string, cause?: unknown) => {
    ended ??= new PyroError('guest_unreachable', `QEMU's monitor ${why}.`, { cause })
    for (const one of waiting.values()) one.reject(ended)
    waiting.clear()
    stream.destroy()
  }
  stream.on('error', (error) => end(`cannot be spoken to: ${error.message}`, error))
  stream.on('close', () => end('closed its connection'))
  stream.on(
    'data',
    lines(MAX_LINE, (line) => (line === null ? end('sent too long a line') : receive(line))),
  )

  function receive(line: string): void {
    if (ended || line.trim() === '') return
    let message: unknown
    try {
      message = JSON.parse(line)
    } catch {
      return end('sent a line that is not JSON')
    }
    const happened = event.safeParse(message)
    if (happened.success) return onEvent?.(happened.data)
    const welcome = greeting.safeParse(message)
    if (welcome.success) return settle(GREETING, (one) => one.resolve(welcome.data))
    const refused = refusal.safeParse(message)
    if (refused.success)
      return settle(refused.data.id, (one) =>
        one.reject(new PyroError('machine_failed', `QEMU refuses: ${plain(refused.data.error.desc)}`)),
      )
    const answered = answer.safeParse(message)
    if (answered.success) return settle(answered.data.id, (one) => one.resolve(answered.data.return))
    end('sent what is neither answer nor event')
  }

  function settle(id: number, use: (one: Waiting) => void): void {
    const one = waiting.get(id)
    if (one === undefined) return end('answered what was not asked')
    waiting.delete(id)
    use(one)
  }

  function wait(id: number): Promise<unknown> {
    if (ended) return Promise.reject(ended)
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => end('did not answer in time'), timeoutMs)
      const stopping =
        <T>(then: (value: T) => void) =>
        (value: T) => {
          clearTimeout(timer)
          then(value)
        }
      waiting.set(id, { resolve: stopping(resolve), reject: stopping(reject) })
    })
  }

  const execute: Qmp['execute'] = async (command) => {
    if (waiting.size >= MAX_WAITING)
      throw new PyroError('guest_unreachable', "QEMU's monitor is asked too much at once.")
    const id = nextId++
    const answered = wait(id)
    if (!ended) stream.write(`${JSON.stringify({ execute: command, id })}\n`)
    const result = COMMANDS[command].safeParse(await answered)
    if (result.success) return result.data as z.infer<Commands[typeof command]>
    end(`answered ${command} with something else`)
    throw ended!
  }

  const { QMP } = (await wait(GREETING)) as z.infer<typeof greeting>
  try {
    await execute('qmp_capabilities')
  } catch (error) {
    end('would not negotiate')
    throw error
  }
  return { version: QMP.version.qemu, execute, close: () => end('was closed by us') }
}

/** Cuts a stream into lines; null stands for one that is longer than the bound. */
function lines(bound: number, take: (line: string | null) => void): (bytes: Buffer) => void {
  let parts: Buffer[] = []
  let size = 0
  return (bytes) => {
    let from = 0
    for (let at = bytes.indexOf(10); at !== -1; at = bytes.indexOf(10, from)) {
      if (size + at - from > bound) return take(null)
      take(Buffer.concat([...parts, bytes.subarray(from, at)]).toString())
      parts = []
      size = 0
      from = at + 1
    }
    size += bytes.length - from
    if (size > bound) return take(null)
    if (from < bytes.length) parts.push(bytes.subarray(from))
  }
}
