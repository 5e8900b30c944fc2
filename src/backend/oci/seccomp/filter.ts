/**
 * The profile as a program for the kernel: classic BPF over `struct seccomp_data` (linux/seccomp.h, linux/filter.h).
 * It is made once per engine and installed by the sandbox's init before it serves, which spares every start the
 * compilation that an OCI runtime would do.
 */
import { PROFILE, type Condition } from './profile.ts'
import { SYSCALLS, type SyscallTable } from './syscalls.gen.ts'

const LOAD = 0x20
const JUMP_EQUAL = 0x15
const JUMP_GREATER = 0x25
const JUMP_AT_LEAST = 0x35
const JUMP_ANY_BIT = 0x45
const RETURN = 0x06

const ALLOW = 0x7fff0000
const ERRNO = 0x00050000
const KILL_PROCESS = 0x80000000
const EPERM = ERRNO | 1
const ENOSYS = ERRNO | 38

/** Offsets in struct seccomp_data; the machine is little-endian, so an argument's low word comes first. */
const NUMBER = 0
const ARCHITECTURE = 4
const lowWord = (argument: number) => 16 + 8 * argument

/** Bit of the numbers of the x32 interface, which shares x86_64's architecture and has no programs. */
const X32 = 0x40000000

/** AUDIT_ARCH_* of linux/audit.h. */
const ARCHITECTURES: Record<'x64' | 'arm64', { audit: number; table: keyof typeof SYSCALLS }[]> = {
  x64: [
    { audit: 0xc000003e, table: 'x86_64' },
    { audit: 0x40000003, table: 'x86' },
  ],
  arm64: [
    { audit: 0xc00000b7, table: 'arm64' },
    { audit: 0x40000028, table: 'arm' },
  ],
}

type Instruction = [code: number, ifTrue: number, ifFalse: number, k: number]

/** The filter for programs of this machine's architecture and its 32-bit one; any other is killed. */
export function seccompFilter(arch: string = process.arch): Buffer {
  const architectures = ARCHITECTURES[arch === 'arm64' ? 'arm64' : 'x64']
  const program: Instruction[] = []
  for (const { audit, table } of architectures) {
    const body = perArchitecture(SYSCALLS[table])
    // A jump's offset has 8 bits: an unconditional one (BPF_JA) has 32.
    program.push([LOAD, 0, 0, ARCHITECTURE], [JUMP_EQUAL, 1, 0, audit], [0x05, 0, 0, body.length], ...body)
  }
  program.push([RETURN, 0, 0, KILL_PROCESS])
  return encode(program)
}

/** Ends with a verdict on every path. */
function perArchitecture(table: SyscallTable): Instruction[] {
  const body: Instruction[] = [
    [LOAD, 0, 0, NUMBER],
    [JUMP_AT_LEAST, 0, 1, X32],
    [RETURN, 0, 0, EPERM],
  ]
  for (const { name, anyOf } of PROFILE.conditional) {
    const number = table[name]
    if (number === undefined) continue
    const tests = [...anyOf.flatMap(test), [RETURN, 0, 0, EPERM] as Instruction]
    body.push([JUMP_EQUAL, 0, tests.length, number], ...tests)
  }
  for (const name of PROFILE.absent)
    if (table[name] !== undefined) body.push([JUMP_EQUAL, 0, 1, table[name]], [RETURN, 0, 0, ENOSYS])
  for (const [first, last] of ranges(PROFILE.allowed.flatMap((name) => table[name] ?? [])))
    body.push(
      [JUMP_GREATER, 3, 0, last],
      [JUMP_AT_LEAST, 0, 1, first],
      [RETURN, 0, 0, ALLOW],
      [RETURN, 0, 0, EPERM],
    )
  body.push([RETURN, 0, 0, EPERM])
  return body
}

/** Lets the call through where the condition holds, and goes on behind itself where it does not. */
function test(condition: Condition): Instruction[] {
  const low = lowWord(condition.argument)
  if ('without' in condition)
    return [
      [LOAD, 0, 0, low],
      [JUMP_ANY_BIT, 1, 0, condition.without],
      [RETURN, 0, 0, ALLOW],
    ]
  return [
    [LOAD, 0, 0, low],
    [JUMP_EQUAL, 0, 3, condition.equals],
    [LOAD, 0, 0, low + 4],
    [JUMP_EQUAL, 0, 1, 0],
    [RETURN, 0, 0, ALLOW],
  ]
}

/** Numbers as runs of neighbours, ascending. */
function ranges(numbers: number[]): [number, number][] {
  const runs: [number, number][] = []
  for (const number of [...new Set(numbers)].sort((a, b) => a - b)) {
    const last = runs.at(-1)
    if (last !== undefined && last[1] + 1 === number) last[1] = number
    else runs.push([number, number])
  }
  return runs
}

/** `struct sock_filter`: u16 code, u8 jt, u8 jf, u32 k. */
function encode(program: Instruction[]): Buffer {
  if (program.length > 4096) throw new RangeError('a filter has at most 4096 instructions')
  const bytes = Buffer.alloc(8 * program.length)
  program.forEach(([code, ifTrue, ifFalse, k], at) => {
    if (ifTrue > 255 || ifFalse > 255) throw new RangeError('a jump is too long')
    bytes.writeUInt16LE(code, 8 * at)
    bytes.writeUInt8(ifTrue, 8 * at + 2)
    bytes.writeUInt8(ifFalse, 8 * at + 3)
    bytes.writeUInt32LE(k >>> 0, 8 * at + 4)
  })
  return bytes
}
