// Writes src/backend/oci/seccomp/syscalls.gen.ts: the numbers of the calls that the seccomp profile names, per
// architecture, as golang.org/x/sys has them (the version that native/go.mod pins).   scripts/syscalls.ts [--check]
import { execFileSync } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { PROFILE } from '../src/backend/oci/seccomp/profile.ts'

const root = resolve(import.meta.dirname, '..')
const target = join(root, 'src/backend/oci/seccomp/syscalls.gen.ts')
const FILES = { x86_64: 'amd64', x86: '386', arm64: 'arm64', arm: 'arm' }

/** Calls of 32-bit ARM outside its table (arch/arm/include/uapi/asm/unistd.h). */
const PRIVATE: Record<string, Record<string, number>> = {
  arm: { breakpoint: 0xf0001, cacheflush: 0xf0002, set_tls: 0xf0005 },
}

const module = execFileSync('go', ['list', '-m', '-f', '{{.Dir}}', 'golang.org/x/sys'], {
  cwd: join(root, 'native'),
  encoding: 'utf8',
}).trim()
const names = [...PROFILE.allowed, ...PROFILE.conditional.map(({ name }) => name), ...PROFILE.absent].sort()

const unknown = new Set(names)
const tables = Object.entries(FILES).map(([name, arch]) => {
  const text = readFileSync(join(module, `unix/zsysnum_linux_${arch}.go`), 'utf8')
  const numbers = new Map(
    [...text.matchAll(/SYS_(\w+)\s*=\s*(\d+)/g)].map(([, call, number]) => [call!.toLowerCase(), number!]),
  )
  for (const [call, number] of Object.entries(PRIVATE[name] ?? {})) numbers.set(call, String(number))
  const known = names.filter((call) => numbers.has(call))
  for (const call of known) unknown.delete(call)
  const lines = [...new Set(known)].map((call) => `    ${call}: ${numbers.get(call)},`)
  return `  ${name}: {\n${lines.join('\n')}\n  },`
})
const page = `// Written by scripts/syscalls.ts. Do not edit.
export type SyscallTable = Readonly<Record<string, number>>

/** Numbers of the calls that the profile names. */
export const SYSCALLS = {
${tables.join('\n')}
} satisfies Record<string, SyscallTable>
`
if (unknown.size > 0) console.error(`on no architecture: ${[...unknown].join(' ')}`)
if (process.argv.includes('--check')) {
  if (readFileSync(target, 'utf8') !== page) {
    console.error('src/backend/oci/seccomp/syscalls.gen.ts is stale: run scripts/syscalls.ts')
    process.exitCode = 1
  }
} else writeFileSync(target, page)
