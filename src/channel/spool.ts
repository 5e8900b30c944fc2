/**
 * Reads a command's stream from its ring file on this machine. The file belongs to a sandbox, so nothing in it is
 * believed: it is opened without following links or blocking, and each header is checked before it is used.
 */
import { closeSync, constants, fstatSync, openSync, readSync } from 'node:fs'
import { PyroError } from '../contract/errors.ts'

const HEADER_BYTES = 4096
/** Of the header, the fields: magic, cap, start, end, flags. */
const FIELDS_BYTES = 40
const MAGIC = Buffer.from('PYSPOOL1')
const MAX_RING_BYTES = 1_073_741_824
const EOF_FLAG = 1
/** How often a block may be overwritten under the reader's hands before it gives up; each time it is further along. */
const MAX_LAPS = 64

export interface SpoolRead {
  /** Bytes placed into the buffer. */
  bytes: number
  /** Where in the buffer they begin. */
  at: number
  /** Stream offset of the first of them: the cursor, or beyond it when the bytes between are no longer kept. */
  from: number
  /** Offset that follows the last byte written so far. */
  end: number
  eof: boolean
}

export interface Spool {
  cap: number
  /** Never waits. Gives fewer bytes than fit where the ring wraps. @throws guest_unreachable */
  read: (cursor: number, into: Buffer) => SpoolRead
  close: () => void
}

/** Null where there is no such file or it may not be read. @throws guest_unreachable when it is no spool */
export function openSpool(path: string): Spool | null {
  let fd: number
  try {
    fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch {
    return null
  }
  try {
    if (!fstatSync(fd).isFile()) throw lied('it is no regular file')
    return reader(fd)
  } catch (error) {
    closeSync(fd)
    throw error
  }
}

interface Header {
  cap: number
  start: number
  end: number
  eof: boolean
}

function reader(fd: number): Spool {
  const fields = Buffer.alloc(FIELDS_BYTES)
  const header = (): Header => {
    if (readSync(fd, fields, 0, FIELDS_BYTES, 0) !== FIELDS_BYTES) throw lied('its header is cut off')
    return parseHeader(fields)
  }
  let last = header()
  const { cap } = last
  // A stream only grows. One that is cut back between two looks would be read in as many steps as its writer likes.
  const look = (): Header => {
    const seen = header()
    if (seen.cap !== cap) throw lied('its size changes')
    if (seen.start < last.start || seen.end < last.end) throw lied('its offsets go back')
    last = seen
    return seen
  }

  return {
    cap,
    read(cursor, into) {
      let { start, end, eof } = look()
      for (let lap = 0; lap < MAX_LAPS; lap++) {
        const from = Math.max(cursor, start)
        const bytes = Math.min(into.length, end - from, cap - (from % cap))
        if (bytes <= 0) return { bytes: 0, at: 0, from, end, eof }
        if (readSync(fd, into, 0, bytes, HEADER_BYTES + (from % cap)) !== bytes)
          throw lied('it is shorter than its header says')
          // The writer moves `start` before it overwrites: what lies below it now may be torn.
        ;({ start, end, eof } = look())
        const torn = Math.max(0, start - from)
        if (torn < bytes) return { bytes: bytes - torn, at: torn, from: from + torn, end, eof }
      }
      throw lied('it is overwritten faster than it can be read')
    },
    close: () => closeSync(fd),
  }
}

function parseHeader(fields: Buffer): Header {
  if (!fields.subarray(0, 8).equals(MAGIC)) throw lied('its magic is wrong')
  const cap = offset(fields, 8)
  const start = offset(fields, 16)
  const end = offset(fields, 24)
  if (cap < 1 || cap > MAX_RING_BYTES) throw lied('its size is out of range')
  if (start > end || end - start > cap) throw lied('its offsets contradict each other')
  return { cap, start, end, eof: (fields.readUInt32LE(32) & EOF_FLAG) !== 0 }
}

function offset(fields: Buffer, at: number): number {
  const value = fields.readUInt32LE(at + 4) * 2 ** 32 + fields.readUInt32LE(at)
  if (!Number.isSafeInteger(value)) throw lied('an offset is out of range')
  return value
}

function lied(how: string): PyroError {
  return new PyroError('guest_unreachable', `An output file of the sandbox is not to be believed: ${how}.`)
}

export interface SpoolPart {
  data: Buffer
  from: number
  end: number
  eof: boolean
}

/** At most `max` bytes from a cursor on, in one piece. Null where there is no such file. @throws guest_unreachable */
export function readSpool(path: string, cursor: number, max: number): SpoolPart | null {
  const spool = openSpool(path)
  if (spool === null) return null
  try {
    const first = spool.read(cursor, Buffer.alloc(0))
    const data = Buffer.allocUnsafe(Math.max(0, Math.min(max, first.end - first.from)))
    let [filled, from, last] = [0, first.from, first]
    while (filled < data.length) {
      last = spool.read(from + filled, data.subarray(filled))
      if (last.bytes === 0) break
      if (last.from !== from + filled) {
        // Overwritten meanwhile: what was gathered is no longer joined to the rest.
        if (filled > 0) break
        from = last.from
      }
      data.copyWithin(filled, filled + last.at, filled + last.at + last.bytes)
      filled += last.bytes
    }
    return { data: data.subarray(0, filled), from, end: last.end, eof: last.eof }
  } finally {
    spool.close()
  }
}
