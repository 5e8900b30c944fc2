/** Bytes as text, without cutting a character in two. */
import { isUtf8 } from 'node:buffer'
import type { StreamChunk } from '../contract/fields.ts'

/** The bytes without an incomplete UTF-8 sequence at their end. */
export function wholeText(bytes: Buffer): Buffer {
  for (let back = 1; back <= Math.min(4, bytes.length); back++) {
    const byte = bytes[bytes.length - back]!
    if (byte < 0x80) return bytes
    if (byte < 0xc0) continue
    const length = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : 2
    return length > back ? bytes.subarray(0, bytes.length - back) : bytes
  }
  return bytes
}

/** Part of a stream in the contract's form: text where it is text, base64 where not. */
export function streamChunk(
  asked: number,
  part: { data: Buffer; from: number; end: number; eof: boolean },
): StreamChunk {
  const last = part.from + part.data.length >= part.end && part.eof
  const trimmed = last ? part.data : wholeText(part.data)
  const isText = trimmed.length > 0 && isUtf8(trimmed)
  const data = isText || part.data.length === 0 ? trimmed : part.data
  const cursor = part.from + data.length
  return {
    data: isText || data.length === 0 ? data.toString('utf8') : data.toString('base64'),
    encoding: isText || data.length === 0 ? 'utf-8' : 'base64',
    cursor,
    end: part.end,
    dropped: Math.max(0, part.from - asked),
    eof: part.eof && cursor >= part.end,
  }
}
