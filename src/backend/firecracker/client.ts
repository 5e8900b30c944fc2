/**
 * Firecracker's API: HTTP/1 over a unix socket. PUT and PATCH answer 204, refusals are 400 `{fault_message}`. The process
 * runs a guest, so its answers are bounded in size and time and believed as far as they were checked.
 */
import { Agent, request as httpRequest } from 'node:http'
import { z } from 'zod'
import { PyroError } from '../../contract/errors.ts'
import type { Get, Patch, Put } from './api.gen.ts'

/** Firecracker refuses longer bodies by default (--http-api-max-payload-size). */
export const MAX_BODY = 51_200
const MAX_ANSWER = 65_536
const TIMEOUT_MS = 10_000

export interface FirecrackerApi {
  /** @throws machine_failed with the fault message, timed_out */
  put: <P extends keyof Put>(path: P, body: Put[P]) => Promise<void>
  patch: <P extends keyof Patch>(path: P, body: Patch[P]) => Promise<void>
  get: <P extends keyof Get>(path: P) => Promise<Get[P]>
  close: () => void
}

export interface ClientOptions {
  /** Bound of one answer, in milliseconds. */
  timeoutMs?: number
  signal?: AbortSignal | undefined
}

const fault = z.object({ fault_message: z.string() })
const ANSWERS: { [P in keyof Get]: z.ZodType<Get[P]> } = {
  '/version': z.object({ firecracker_version: z.string().max(64) }),
}

export function firecrackerApi(socketPath: string, options: ClientOptions = {}): FirecrackerApi {
  const { timeoutMs = TIMEOUT_MS, signal } = options
  // One connection: its server has one thread, and requests are made in order.
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })

  async function send(
    method: string,
    path: string,
    body?: object,
  ): Promise<{ status: number; text: string }> {
    const text = body === undefined ? undefined : JSON.stringify(body)
    if (text !== undefined && Buffer.byteLength(text) > MAX_BODY)
      throw new PyroError(
        'invalid_input',
        `${path}: Firecracker takes no request of more than ${MAX_BODY} bytes.`,
      )
    return new Promise((resolve, reject) => {
      const headers =
        text === undefined
          ? {}
          : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }
      const sent = httpRequest(
        { socketPath, path, method, headers, agent, maxHeaderSize: 16_384, ...(signal ? { signal } : {}) },
        (answer) => {
          const parts: Buffer[] = []
          let size = 0
          answer.on('data', (part: Buffer) => {
            size += part.length
            if (size > MAX_ANSWER) sent.destroy(new Error(`its answer is longer than ${MAX_ANSWER} bytes`))
            else parts.push(part)
          })
          answer.on('error', fail)
          answer.on('end', () => {
            clearTimeout(timer)
            resolve({ status: answer.statusCode ?? 0, text: Buffer.concat(parts).toString() })
          })
        },
      )
      const timer = setTimeout(() => {
        reject(
          new PyroError('timed_out', `Firecracker did not answer ${method} ${path} within ${timeoutMs} ms.`),
        )
        sent.destroy()
      }, timeoutMs)
      function fail(error: Error): void {
        clearTimeout(timer)
        const reason = `${method} ${path} failed: ${error.message}`
        reject(
          signal?.aborted
            ? new PyroError('cancelled', 'The call was cancelled.')
            : new PyroError('machine_failed', `Firecracker: ${reason}.`, { cause: error }),
        )
      }
      sent.on('error', fail)
      sent.end(text)
    })
  }

  async function change(method: string, path: string, body: object): Promise<void> {
    const { status, text } = await send(method, path, body)
    if (status !== 204) throw refused(method, path, status, text)
  }

  return {
    put: (path, body) => change('PUT', path, body),
    patch: (path, body) => change('PATCH', path, body),
    async get(path) {
      const { status, text } = await send('GET', path)
      if (status !== 200) throw refused('GET', path, status, text)
      const checked = ANSWERS[path].safeParse(parsed(text))
      if (!checked.success)
        throw new PyroError('machine_failed', `Firecracker: GET ${path} has an unknown answer.`)
      return checked.data as Get[typeof path]
    },
    close: () => agent.destroy(),
  }
}

function refused(method: string, path: string, status: number, text: string): PyroError {
  const said = fault.safeParse(parsed(text))
  const reason = said.success ? printable(said.data.fault_message) : `status ${status} without a reason`
  return new PyroError('machine_failed', `Firecracker refused ${method} ${path}: ${reason}`)
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

/** What may stand in a message and on a terminal. */
function printable(text: string): string {
  return text
    .replace(/[^\x20-\x7e]+/g, ' ')
    .trim()
    .slice(0, 1000)
}
