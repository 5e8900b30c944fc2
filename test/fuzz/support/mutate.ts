/** What is done to a kept input to make a new one: bytes, and JSON that stays JSON. */
import type { Random } from './random.ts'

/** Lengths and numbers at which parsers go wrong. */
const EDGES = [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff]
const MAX_BYTES = 65_536

/** A few changes to the bytes, each of them small; `others` are inputs to splice with, `words` what the parser looks for. */
export function mutate(
  chance: Random,
  input: Buffer,
  others: readonly Buffer[],
  words: readonly (string | Buffer)[] = [],
): Buffer {
  let bytes: Buffer = Buffer.from(input)
  for (let changes = chance.below(6); changes >= 0; changes--) bytes = change(bytes).subarray(0, MAX_BYTES)
  return bytes

  function change(now: Buffer): Buffer {
    const at = chance.below(now.length + 1)
    const to = Math.min(now.length, at + 1 + chance.below(chance.pick([2, 8, 64, 4096])))
    const replaced = (by: Buffer) => Buffer.concat([now.subarray(0, at), by, now.subarray(to)])
    const inserted = (what: Buffer) => Buffer.concat([now.subarray(0, at), what, now.subarray(at)])
    switch (chance.below(9)) {
      case 0: {
        if (at >= now.length) return now
        now[at]! ^= 1 << chance.below(8)
        return now
      }
      case 1:
        return replaced(Buffer.alloc(0))
      case 2:
        return now.subarray(0, at)
      case 3:
        return inserted(chance.bytes(1 + chance.below(16)))
      case 4: {
        const width = chance.pick([1, 2, 4, 8])
        const edge = Buffer.alloc(8)
        edge.writeUInt32LE(chance.pick(EDGES))
        edge.writeUInt32LE(chance.pick(EDGES), 4)
        if (chance.once(2)) edge.reverse()
        edge.copy(now, at, 0, width)
        return now
      }
      case 5: {
        const part = now.subarray(at, to)
        return inserted(Buffer.concat(Array.from({ length: 1 + chance.below(8) }, () => part)))
      }
      case 6: {
        const other = chance.pick(others.length > 0 ? others : [now])
        const from = chance.below(other.length + 1)
        return inserted(other.subarray(from, from + chance.below(other.length - from + 1)))
      }
      case 7:
        return words.length > 0 ? inserted(Buffer.from(chance.pick(words) as string)) : now
      default:
        return words.length > 0 ? replaced(Buffer.from(chance.pick(words) as string)) : now
    }
  }
}

/** The bytes in pieces, as a stream might bring them. */
export function pieces(chance: Random, bytes: Buffer): Buffer[] {
  const style = Math.max(chance.pick([1, 7, 64, 4096, bytes.length + 1]), bytes.length / 500)
  const parts: Buffer[] = []
  for (let at = 0; at < bytes.length; ) {
    const end = at + 1 + chance.below(style)
    parts.push(bytes.subarray(at, end))
    at = end
  }
  return parts
}

/** Values that take the place of an honest one. */
const HOSTILE: unknown[] = [
  null,
  true,
  -1,
  0.5,
  1e308,
  2 ** 53,
  -(2 ** 53),
  Number.MAX_SAFE_INTEGER,
  8.64e15 + 1,
  256,
  '',
  '0',
  '\0',
  '..',
  '/etc/passwd',
  'a/../../b',
  '__proto__',
  'constructor',
  '\ud800',
  '\x1b[2J\x07',
  'x'.repeat(5000),
  [],
  {},
  [[]],
  { length: 1e9 },
  { toString: 1 },
]

/** A copy of the value with one or two of its parts replaced, dropped, doubled, moved or renamed. */
export function mutateJson(chance: Random, value: unknown): unknown {
  let copy: unknown = structuredClone(value)
  for (let changes = chance.below(2); changes >= 0; changes--) copy = changed(copy, 0)
  return copy

  function changed(node: unknown, depth: number): unknown {
    const isBranch = typeof node === 'object' && node !== null && Object.keys(node).length > 0
    if (!isBranch || chance.once(depth === 0 ? 20 : 4)) {
      if (typeof node === 'number' && chance.once(2))
        return node + chance.pick([-1, 1, 0.5, 1e6, 2 ** 31, 2 ** 53])
      return chance.pick(HOSTILE)
    }
    if (Array.isArray(node)) {
      const at = chance.below(node.length)
      if (chance.once(6)) return [...node, ...node.slice(at)]
      if (chance.once(6)) return node.toSpliced(at, 1)
      return node.with(at, changed(node[at], depth + 1))
    }
    const object = node as Record<string, unknown>
    const keys = Object.keys(object)
    const key = chance.pick(keys)
    const { [key]: old, ...rest } = object
    if (chance.once(8)) return rest
    if (chance.once(8)) return { ...rest, [chance.pick([...keys, 'x', '__proto__'])]: old }
    if (chance.once(8)) return { ...rest, [key]: object[chance.pick(keys)] }
    return { ...rest, [key]: changed(old, depth + 1) }
  }
}
