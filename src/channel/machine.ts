/** What only the agent of a machine can be asked: it has the disks, the clock and the power switch. */
import type { Readable } from 'node:stream'
import type { z } from 'zod'
import { lied, refused } from './answers.ts'
import { type Changes, changes, done } from './messages.ts'
import type { Wire, WireRequest } from './wire.ts'

/** Mounting may replay the journal of a disk. */
const MOUNT_MS = 60_000
/** A pause in a tree: the guest reads files that may be large and its disk slow. */
const PAUSE_MS = 60_000
const SCAN_MS = 120_000
const MAX_REFUSAL = 65_536

/** What makes a machine another one than the next; may be set late, and again. */
export interface MachineIdentity {
  hostname: string
  /** 32 hexadecimal digits. */
  machine_id: string
  /** Milliseconds since the epoch. */
  now_ms: number
  /** Random bytes, base64. */
  entropy: string
}

export interface MachineGuest {
  identify: (identity: MachineIdentity) => Promise<void>
  /** Puts /workspace in its place. Repeatable. */
  mountWorkspace: (seeded: boolean) => Promise<void>
  /** What changed under /workspace since the seed. */
  changes: (limit: number) => Promise<Changes>
  /** A tar (pax) of a path relative to /workspace, as the guest has it: nobody vouches for it. @throws as export does */
  tree: (path: string) => Promise<Readable>
  /** One of its layers as an OCI layer tar: baseline, workspace or root. */
  layer: (name: string) => Promise<Readable>
  /** Fills an empty layer that nothing is mounted over yet. */
  putLayer: (name: string, body: Readable) => Promise<void>
}

type Ask = <T extends z.ZodType>(
  schema: T,
  request: Partial<WireRequest> & { path: string },
) => Promise<z.output<T>>

export function machineGuest(ask: Ask, bulk: Wire): MachineGuest {
  const post = async (path: string, body: object) => {
    await ask(done, { method: 'POST', path, body: JSON.stringify(body), timeoutMs: MOUNT_MS })
  }
  const body = async (path: string) => {
    const answer = await bulk.stream({ method: 'GET', path, timeoutMs: PAUSE_MS })
    if (answer.status === 200) return answer.body
    throw refused({ ...answer, body: await bounded(answer.body) })
  }
  return {
    identify: (identity) => post('/v1/identity', identity),
    mountWorkspace: (seeded) => post('/v1/workspace', { seeded }),
    async changes(limit) {
      const seen = await ask(changes, { path: `/v1/changes?limit=${limit}`, timeoutMs: SCAN_MS })
      if (seen.entries.length > limit) throw lied('it lists more changes than it was asked for')
      return seen
    },
    tree: (path) => body(`/v1/tree?path=${encodeURIComponent(path)}`),
    layer: (name) => body(`/v1/layer?name=${encodeURIComponent(name)}`),
    async putLayer(name, source) {
      const path = `/v1/layer?name=${encodeURIComponent(name)}`
      const answer = await bulk.stream({ method: 'PUT', path, body: source, timeoutMs: PAUSE_MS })
      const said = await bounded(answer.body)
      if (answer.status !== 200) throw refused({ ...answer, body: said })
    },
  }
}

async function bounded(body: Readable): Promise<Buffer> {
  const parts: Buffer[] = []
  let size = 0
  for await (const part of body as AsyncIterable<Buffer>) {
    size += part.length
    if (size > MAX_REFUSAL) break
    parts.push(part)
  }
  return Buffer.concat(parts)
}
