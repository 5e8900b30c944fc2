/** Reproducible chance: the same seed, name and round give the same numbers on every machine. */
import { createHash } from 'node:crypto'

export interface Random {
  /** A whole number, at least 0 and below the bound. */
  below: (bound: number) => number
  /** True once in `often` times. */
  once: (often: number) => boolean
  pick: <T>(from: readonly T[]) => T
  bytes: (length: number) => Buffer
}

/** xoshiro128** (Blackman, Vigna), its state from a hash of the parts. */
export function random(...parts: (string | number)[]): Random {
  const digest = createHash('sha256').update(parts.join('\0')).digest()
  const state = Uint32Array.from({ length: 4 }, (_, index) => digest.readUInt32LE(index * 4))
  const rotate = (value: number, by: number) => (value << by) | (value >>> (32 - by))
  const next = () => {
    const result = Math.imul(rotate(Math.imul(state[1]!, 5), 7), 9) >>> 0
    const shifted = state[1]! << 9
    state[2]! ^= state[0]!
    state[3]! ^= state[1]!
    state[1]! ^= state[2]!
    state[0]! ^= state[3]!
    state[2]! ^= shifted
    state[3] = rotate(state[3]!, 11)
    return result
  }
  const below = (bound: number) => Math.floor((next() / 2 ** 32) * bound)
  return {
    below,
    once: (often) => below(often) === 0,
    pick: (from) => from[below(from.length)]!,
    bytes: (length) => Buffer.from(Uint8Array.from({ length }, () => next() & 255)),
  }
}
