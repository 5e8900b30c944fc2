/** Frames of HTTP/2 by hand (RFC 9113), honest and not, and a guest that says them on a real socket. */
import { createServer, type Socket } from 'node:net'
import { once } from 'node:events'
import type { Random } from './random.ts'

export const TYPE = {
  data: 0,
  headers: 1,
  priority: 2,
  reset: 3,
  settings: 4,
  push: 5,
  ping: 6,
  goaway: 7,
  window: 8,
  continuation: 9,
  altsvc: 10,
} as const
export const FLAG = { none: 0, end: 1, ack: 1, endHeaders: 4, padded: 8, priority: 32 }
const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'

/** `length` is what the header says; the payload may be of another. */
export function frame(
  type: number,
  flags: number,
  stream: number,
  payload: Buffer,
  length = payload.length,
): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(length & 0xffffff, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream >>> 0, 5)
  return Buffer.concat([head, payload])
}
export function u32(...values: number[]): Buffer {
  const bytes = Buffer.alloc(4 * values.length)
  for (const [index, value] of values.entries()) bytes.writeUInt32BE(value >>> 0, index * 4)
  return bytes
}
export const settings = (...pairs: [number, number][]): Buffer =>
  frame(
    TYPE.settings,
    FLAG.none,
    0,
    Buffer.concat(pairs.map(([id, value]) => Buffer.concat([Buffer.from([0, id]), u32(value)]))),
  )

/** A string of HPACK, not Huffman-coded; its length as an integer with a prefix of 7 bits. */
function text(value: string): Buffer {
  const bytes = Buffer.from(value)
  const length: number[] = []
  if (bytes.length < 127) length.push(bytes.length)
  else {
    length.push(127)
    let rest = bytes.length - 127
    for (; rest >= 128; rest = Math.floor(rest / 128)) length.push((rest & 127) | 128)
    length.push(rest)
  }
  return Buffer.concat([Buffer.from(length), bytes])
}
/** Fields that no table remembers. */
export const fields = (...pairs: [string, string][]): Buffer =>
  Buffer.concat(pairs.map(([name, value]) => Buffer.concat([Buffer.from([0]), text(name), text(value)])))
/** A field that goes into the dynamic table, and `times` references to it: short on the wire, long when read. */
export const bomb = (name: string, value: string, times: number): Buffer =>
  Buffer.concat([Buffer.from([0x40]), text(name), text(value), Buffer.alloc(times, 0x80 | 62)])

export const headers = (stream: number, block: Buffer, flags = FLAG.endHeaders): Buffer =>
  frame(TYPE.headers, flags, stream, block)
export const data = (stream: number, payload: Buffer, flags = FLAG.none): Buffer =>
  frame(TYPE.data, flags, stream, payload)

export interface Asked {
  /** The stream that the host opened last. */
  stream: number
  /** Frames are written in order; false when nobody takes them any more. */
  say: (bytes: Buffer) => boolean
  /** Says the same again and again, as long as it is taken. */
  flood: (make: () => Buffer) => void
  socket: Socket
  chance: Random
}

export interface RawGuest {
  path: string
  /** Connections that the host has not given up. */
  open: Set<Socket>
  close: () => Promise<void>
}

/** Reads as much of the host's frames as is needed to know when a request begins, and then lets `answer` loose. */
export async function rawGuest(
  path: string,
  chance: Random,
  greet: (chance: Random) => Buffer,
  answer: (asked: Asked) => void,
): Promise<RawGuest> {
  const open = new Set<Socket>()
  const server = createServer((socket) => {
    open.add(socket)
    socket.on('close', () => open.delete(socket)).on('error', () => {})
    const say = (bytes: Buffer) => !socket.destroyed && socket.writable && socket.write(bytes)
    socket.setMaxListeners(0)
    const flood = (make: () => Buffer) => {
      const more = () => {
        // A turn of the loop for everybody else between two blocks: host and guest share this process.
        if (!socket.destroyed && socket.writable && say(make())) setImmediate(more)
        else if (!socket.destroyed) socket.once('drain', more)
      }
      more()
    }
    say(greet(chance))
    let seen = Buffer.alloc(0)
    let begun = false
    socket.on('data', (bytes: Buffer) => {
      seen = Buffer.concat([seen, bytes])
      if (!begun) {
        if (seen.length < PREFACE.length) return
        begun = true
        seen = seen.subarray(PREFACE.length)
      }
      while (seen.length >= 9 && seen.length >= 9 + seen.readUIntBE(0, 3)) {
        const [length, type, stream] = [seen.readUIntBE(0, 3), seen[3], seen.readUInt32BE(5)]
        seen = seen.subarray(9 + length)
        if (type === TYPE.headers) answer({ stream, say, flood, socket, chance })
      }
    })
  })
  server.listen(path)
  await once(server, 'listening')
  return {
    path,
    open,
    async close() {
      for (const socket of open) socket.destroy()
      await new Promise((done) => server.close(done))
    },
  }
}
