// The manual page: what it holds, and that the programs that show it have nothing against it.
import { spawnSync } from 'node:child_process'
import { globSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { manualPage } from '../../build/man.ts'
import { describe as descriptions } from '../../src/contract/describe.ts'
import { ERRORS } from '../../src/contract/errors.ts'
import { installed } from '../support/terminal.ts'
import { ROOT } from '../support/users.ts'

const page = manualPage('1.2.3')
let file: string
beforeAll(() => {
  file = join(mkdtempSync(join(tmpdir(), 'man-')), 'pyro.1')
  writeFileSync(file, page)
})

const show = (program: string, ...args: string[]) =>
  spawnSync(program, [...args, file], {
    encoding: 'utf8',
    env: { PATH: process.env['PATH'], LC_ALL: 'C.UTF-8', MANWIDTH: '2000', MANPAGER: 'cat' },
  })

describe.skipIf(!installed('man'))('man', () => {
  test('shows it without a warning', () => {
    expect(show('man', '--warnings', '-E', 'UTF-8', '-l')).toMatchObject({ status: 0, stderr: '' })
    expect(show('man', '--warnings', '-E', 'ascii', '-l')).toMatchObject({ status: 0, stderr: '' })
  })

  test('shows every command with its words, flags and examples as they are typed', () => {
    const { stdout } = show('man', '-E', 'ascii', '-l')
    for (const { command, summary, flags, examples } of descriptions()) {
      expect(stdout).toMatch(new RegExp(`^ +pyro ${command.join(' ')}$`, 'm'))
      expect(stdout).toContain(summary)
      for (const { flag } of flags) expect(stdout).toMatch(new RegExp(`^ +--${flag}\\b`, 'm'))
      for (const example of examples) expect(stdout).toContain(`  pyro ${example}\n`)
    }
    expect(stdout).toContain('pyro 1.2.3')
    for (const code of Object.keys(ERRORS)) expect(stdout).toContain(code)
  })
})

test.skipIf(!installed('mandoc'))('mandoc has no objection', () => {
  const said = show('mandoc', '-Tlint', '-Wwarning')
    .stdout.split('\n')
    .filter((line) => line !== '')
  // The same content gives the same page: it has no date.
  expect(said).toEqual([expect.stringContaining('missing date')])
})

// For tests alone, for the build alone, and between the engine and a git that it starts.
const NOT_FOR_USERS = ['PYRO_FAULT', 'PYRO_OPERATIONS', 'PYRO_GIT_USER', 'PYRO_GIT_PASSWORD']

test('names every variable that the program reads for its users', () => {
  const sources = globSync('src/**/*.ts', { cwd: ROOT }).map((path) => readFileSync(join(ROOT, path), 'utf8'))
  const read = sources.flatMap((text) => [...text.matchAll(/'(PYRO_[A-Z_]+)'/g)].map(([, name]) => name!))
  expect(read.length).toBeGreaterThan(10)
  for (const name of new Set(read)) if (!NOT_FOR_USERS.includes(name)) expect(page).toContain(name)
})

test('no text of the contract becomes a request of the formatter', () => {
  const requests = new Set([...page.matchAll(/^\.(\S+)/gm)].map(([, name]) => name))
  expect([...requests].toSorted()).toEqual(
    [
      'B',
      'BR',
      'I',
      'IR',
      'PP',
      'RB',
      'RE',
      'RI',
      'RS',
      'SH',
      'SS',
      'TH',
      'TP',
      '\\"',
      'ad',
      'fi',
      'nf',
      'nh',
    ].toSorted(),
  )
})
