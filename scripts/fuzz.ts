// Runs the fuzzers alone and measures how many lines of the parsers of guest bytes, and of archives, they reach.   fuzz.ts [--short]
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'

const LEAST = 90
/** How long Go looks for new inputs, with each of its fuzzers. */
const HOW_LONG = ['-fuzztime', '120s', '-fuzzminimizetime', '10x']

/** The host's parsers of what a guest says or wrote. */
const PARSERS = [
  'src/backend/firecracker/client.ts',
  'src/backend/firecracker/vsock.ts',
  'src/backend/machine.ts',
  'src/backend/qemu/qmp.ts',
  'src/channel/answers.ts',
  'src/channel/collect.ts',
  'src/channel/connection.ts',
  'src/channel/guest.ts',
  'src/channel/json.ts',
  'src/channel/machine.ts',
  'src/channel/messages.ts',
  'src/channel/session.ts',
  'src/channel/spool.ts',
  'src/channel/wire.ts',
  'src/contract/plain.ts',
  'src/engine/text.ts',
  'src/layer/bytes.ts',
  'src/layer/pour.ts',
]
const GO_PARSERS = [
  'native/layer/archive/entries.go',
  'native/layer/archive/kind.go',
  'native/layer/archive/open.go',
  'native/layer/archive/stays.go',
  'native/layer/archive/tree.go',
  'native/layer/archive/unpack.go',
  'native/layer/changes/changes.go',
  'native/layer/changes/compare.go',
  'native/layer/changes/layers.go',
  'native/layer/copytree/content.go',
  'native/layer/copytree/copytree.go',
  'native/layer/copytree/directory.go',
  'native/layer/copytree/file.go',
  'native/layer/dirfd/list.go',
  'native/layer/dirfd/open.go',
  'native/layer/dirfd/remove.go',
  'native/layer/disk/usage.go',
  'native/layer/export/export.go',
  'native/layer/export/source.go',
  'native/layer/export/stream.go',
  'native/layer/layertar/content.go',
  'native/layer/layertar/cursor.go',
  'native/layer/layertar/entries.go',
  'native/layer/layertar/header.go',
  'native/layer/layertar/ids.go',
  'native/layer/layertar/marks.go',
  'native/layer/layertar/pack.go',
  'native/layer/layertar/packfile.go',
  'native/layer/layertar/unpack.go',
  'native/layer/overlay/marks.go',
  'native/layer/tarstream/content.go',
  'native/layer/tarstream/name.go',
  'native/layer/tarstream/stream.go',
]
const GO_FUZZERS: [folder: string, name: string][] = [
  ['./layer', 'FuzzTree'],
  ['./layer/archive', 'FuzzArchive'],
  ['./layer/archive', 'FuzzArchiveEntries'],
  ['./layer/export', 'FuzzReceive'],
  ['./layer/layertar', 'FuzzUnpack'],
  ['./layer/layertar', 'FuzzEntries'],
]
/**
 * What a system call that fails leads to: these lines hand its error on. No byte of a guest makes a call fail that works
 * on every tree it can describe, so they are counted apart.
 */
const HANDS_ON =
  /^(if|case|\}|default|unix\.Close\(|_ = dirfd\.RemoveAt\(|return (.*, )?(err|errno)$|return (.*\b)?(fault\.From|problem)\()/

interface Reached {
  file: string
  percent: number
  note: string
}

const long = !process.argv.includes('--short')
const folder = mkdtempSync(join(tmpdir(), 'pyro-fuzz-'))
let failed = false
try {
  const reached = [...typescript(), ...go()]
  for (const { file, percent, note } of reached) {
    const low = percent < LEAST
    failed ||= low
    console.log(`${low ? 'LOW ' : 'ok  '} ${percent.toFixed(1).padStart(5)} %  ${file}${note}`)
  }
} finally {
  rmSync(folder, { recursive: true, force: true })
}
process.exitCode = failed ? 1 : 0

function run(program: string, args: string[], env: Record<string, string> = {}): void {
  const { status } = spawnSync(program, args, { stdio: 'inherit', env: { ...process.env, ...env } })
  if (status === 0) return
  failed = true
  console.log(`FAIL  ${program} ${args.slice(0, 4).join(' ')}`)
}

function typescript(): Reached[] {
  const settings = [
    '--coverage.enabled',
    '--coverage.provider=v8',
    '--coverage.reporter=json-summary',
    '--coverage.reportOnFailure',
    `--coverage.reportsDirectory=${folder}`,
    ...PARSERS.map((file) => `--coverage.include=${file}`),
  ]
  run('vitest', ['run', 'test/fuzz', ...settings], long ? { PYRO_TEST_LONG: '1' } : {})
  const summary = JSON.parse(readFileSync(join(folder, 'coverage-summary.json'), 'utf8')) as Record<
    string,
    { lines: { pct: number } }
  >
  const found = new Map(Object.entries(summary).map(([path, { lines }]) => [relative('.', path), lines.pct]))
  return PARSERS.map((file) => ({ file, percent: found.get(file) ?? 0, note: '' }))
}

function go(): Reached[] {
  const profile = join(folder, 'go.out')
  const packages = [...new Set(GO_FUZZERS.map(([path]) => path))]
  const cover = [`-coverprofile=${profile}`, '-coverpkg=./layer/...']
  // Without C every thread can give up capabilities, which FuzzTree does to read as an ordinary user's hand.
  const env = { CGO_ENABLED: '0' }
  run('go', ['-C', 'native', 'test', '-run', 'Fuzz', ...cover, ...packages], env)
  if (long)
    for (const [path, name] of GO_FUZZERS)
      run('go', ['-C', 'native', 'test', '-run', '^$', '-fuzz', `^${name}$`, ...HOW_LONG, path], env)
  return GO_PARSERS.map((file) => goFile(file, readFileSync(profile, 'utf8')))
}

/** Lines of a profile are `package/file:line.column,line.column statements count`; a block may be there once per test. */
function goFile(file: string, profile: string): Reached {
  const source = readFileSync(file, 'utf8').split('\n')
  const blocks = new Map<string, { lines: [number, number]; statements: number; count: number }>()
  for (const line of profile.split('\n')) {
    const [, path, from, to, statements, count] =
      /^pyro\/(.*):(\d+)\.\d+,(\d+)\.\d+ (\d+) (\d+)$/.exec(line.replace('pyro/native/', 'pyro/')) ?? []
    if (`native/${path}` !== file) continue
    const key = line.slice(0, line.lastIndexOf(' '))
    const before = blocks.get(key)?.count ?? 0
    blocks.set(key, {
      lines: [Number(from), Number(to)],
      statements: Number(statements),
      count: before + Number(count),
    })
  }
  const sum = { all: 0, reached: 0, apart: 0 }
  for (const { lines, statements, count } of blocks.values()) {
    sum.all += statements
    if (count > 0) sum.reached += statements
    else if (handsOn(source.slice(lines[0] - 1, lines[1]))) sum.apart += statements
  }
  const percent = (100 * sum.reached) / Math.max(1, sum.all - sum.apart)
  const whole = ((100 * sum.reached) / Math.max(1, sum.all)).toFixed(1)
  return {
    file,
    percent,
    note: ` (${whole} % with ${sum.apart} statements that hand on a failed system call)`,
  }
}

function handsOn(lines: string[]): boolean {
  return lines.every((line) => line.trim() === '' || HANDS_ON.test(line.trim()))
}
