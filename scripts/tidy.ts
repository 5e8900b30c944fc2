// Checks what no linter does: a file is one thought, so it stays short; and no tracked file names a package registry's
// host, so that every machine's own setting decides where packages come from.
import { execFileSync } from 'node:child_process'
import { readFileSync, statSync } from 'node:fs'

const LONGEST = 300
const SOURCE = /^(src|native|scripts|build|bench|examples)\/.*\.(ts|go)$/
const HOSTS = [
  'registry.' + 'npmjs',
  'registry.' + 'yarnpkg',
  'proxy.' + 'golang',
  'sum.' + 'golang',
  'files.python' + 'hosted',
]

const files = execFileSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
  encoding: 'utf8',
})
const problems: string[] = []
for (const file of files.split('\0')) {
  if (!file || !statSync(file, { throwIfNoEntry: false })?.isFile()) continue
  const text = readFileSync(file, 'utf8')
  const lines = text.split('\n').length - 1
  if (SOURCE.test(file) && !file.endsWith('.gen.ts') && lines > LONGEST)
    problems.push(`${file}: ${lines} lines, more than ${LONGEST}`)
  for (const host of HOSTS) if (text.includes(host)) problems.push(`${file} names the host ${host}…`)
}
for (const problem of problems) console.error(problem)
process.exitCode = problems.length > 0 ? 1 : 0
