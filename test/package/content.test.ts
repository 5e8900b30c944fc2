// What is in the published package, and what is not.
import { execFileSync } from 'node:child_process'
import { closeSync, globSync, openSync, readFileSync, readSync, statSync } from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { ROOT } from '../support/users.ts'
import { pack, type Packed } from '../support/packed.ts'

let packed: Packed
let files: string[]
beforeAll(() => {
  packed = pack()
  files = globSync('**', { cwd: packed.folder }).filter((name) =>
    statSync(join(packed.folder, name)).isFile(),
  )
}, 300_000)
const text = (name: string) => readFileSync(join(packed.folder, name), 'utf8')

describe('the files', () => {
  test('are those that it needs', () => {
    const kinds = [
      /^(package\.json|README\.md|LICENSE|CHANGELOG\.md)$/,
      /^bin\/pyro$|^scripts\/find-node$/,
      /^dist\/(cli\.cjs|(daemon|mcp|sdk|completion)\.js|chunk\/[a-z]+-[0-9A-Z]{8}\.js)$/,
      /^dist\/native\/pyro-(native|guest)-(x64|arm64)$/,
      /^dist\/types\/[a-z/]+\.d\.ts$/,
      /^dist\/(LICENSES\.txt|man\/pyro\.1)$/,
      /^docs\/(public-contract|guide\/[a-z-]+)\.md$/,
    ]
    expect(files.filter((name) => !kinds.some((kind) => kind.test(name)))).toEqual([])
    // Not one kind is missing.
    expect(kinds.filter((kind) => !files.some((name) => kind.test(name)))).toEqual([])
  })

  test('name no place of the machine that built them, and carry no source map', () => {
    const places = [ROOT, join(homedir(), 'go'), join(homedir(), '.cache'), `${tmpdir()}/`, process.execPath]
    const found = files.flatMap((name) => {
      const bytes = readFileSync(join(packed.folder, name))
      return [...places, 'sourceMappingURL=']
        .filter((place) => bytes.includes(place))
        .map((place) => [name, place])
    })
    expect(found).toEqual([])
  })

  test('may be read by everybody, and run where they are programs', () => {
    for (const name of files) {
      const { mode } = statSync(join(packed.folder, name))
      const program = /^(bin|scripts|dist\/native)\//.test(name)
      expect([name, mode & 0o777]).toEqual([name, program ? 0o755 : 0o644])
    }
  })
})

describe('package.json', () => {
  test('runs nothing at installation, needs nothing else, and is pinned in what it offers', () => {
    const pkg = JSON.parse(text('package.json'))
    expect(pkg.dependencies ?? {}).toEqual({})
    for (const name of ['preinstall', 'install', 'postinstall', 'prepare', 'prepublish'])
      expect(pkg.scripts).not.toHaveProperty(name)
    expect(pkg).toMatchObject({
      version: JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).version,
      type: 'module',
      engines: { node: '>=24' },
      os: ['linux'],
      cpu: ['x64', 'arm64'],
      bin: { pyro: 'bin/pyro' },
      man: ['dist/man/pyro.1'],
    })
    expect(pkg.exports).toEqual({
      '.': { types: './dist/types/surface/sdk/index.d.ts', default: './dist/sdk.js' },
      './package.json': './package.json',
    })
    const named = [pkg.exports['.'].types, pkg.exports['.'].default, pkg.bin.pyro, ...pkg.man]
    for (const path of named) expect(files).toContain(path.replace(/^\.\//, ''))
  })

  test('is what npm would publish, without a warning about it', () => {
    const out = execFileSync('npm', ['publish', '--dry-run', packed.tarball], {
      cwd: packed.folder,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    expect(out).toContain(`pyro-mcp@${JSON.parse(text('package.json')).version}`)
    const fixed = execFileSync('npm', ['pkg', 'fix', '--dry-run'], { cwd: packed.folder, encoding: 'utf8' })
    expect(fixed).toBe('')
  })
})

describe('the native programs', () => {
  // e_machine of the ELF header: EM_X86_64 and EM_AARCH64.
  test.each([
    ['native-x64', 0x3e],
    ['guest-x64', 0x3e],
    ['native-arm64', 0xb7],
    ['guest-arm64', 0xb7],
  ])('%s is static', (name, machine) => {
    const fd = openSync(join(packed.folder, `dist/native/pyro-${name}`), 'r')
    const header = Buffer.alloc(4096)
    readSync(fd, header, 0, header.length, 0)
    closeSync(fd)
    expect(header.toString('latin1', 0, 4)).toBe('\x7fELF')
    expect(header.readUInt16LE(18)).toBe(machine)
    const [offset, size, count] = [
      Number(header.readBigUInt64LE(32)),
      header.readUInt16LE(54),
      header.readUInt16LE(56),
    ]
    const kinds = Array.from({ length: count }, (_, at) => header.readUInt32LE(offset + at * size))
    // PT_DYNAMIC and PT_INTERP are of programs that need libraries.
    expect(kinds).not.toContain(2)
    expect(kinds).not.toContain(3)
    expect(statSync(join(packed.folder, `dist/native/pyro-${name}`)).size).toBeLessThan(12 * 1_048_576)
  })

  test('of this machine runs', () => {
    const said = execFileSync(join(packed.folder, `dist/native/pyro-native-${process.arch}`), ['version'], {
      encoding: 'utf8',
    })
    expect(said.trim()).not.toBe('')
  })
})

describe('licences', () => {
  test('of everything inside, each with its text', () => {
    const all = text('dist/LICENSES.txt')
    const listed = [...all.matchAll(/^- (\S+) \S+$/gm)].map(([, name]) => name!)
    expect(listed).toEqual(
      expect.arrayContaining([
        '@modelcontextprotocol/server',
        'ajv',
        'commander',
        'zod',
        'Go',
        'golang.org/x/sys',
      ]),
    )
    const sections = all.split(/^={78}\n/m).slice(1)
    expect(sections.map((section) => section.split(' ')[0])).toEqual(listed)
    for (const section of sections) expect(section).toMatch(/copyright|permission|license/i)
  })
})
