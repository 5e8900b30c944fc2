/** The licences of everything that is inside the package's files and is not ours. */
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'

interface Part {
  name: string
  version: string
  text: string
}

const FILE = /^(licen[cs]e|copying)(\.(md|txt))?$/i

/** `inputs` are the files that were bundled; the modules of the native programs are read from the programs themselves. */
export function licences(root: string, inputs: string[], native: string[]): string {
  const parts = [...packages(root, inputs), ...goModules(root, native)]
  const list = parts.map(({ name, version }) => `- ${name} ${version}`)
  const texts = parts.map(
    ({ name, version, text }) => `${'='.repeat(78)}\n${name} ${version}\n\n${text.trim()}\n`,
  )
  return `Pyro is under the Apache License 2.0 (see LICENSE). Its files contain parts of:\n\n${list.join('\n')}\n\n${texts.join('\n')}`
}

function packages(root: string, inputs: string[]): Part[] {
  const files = inputs.filter((file) => file.startsWith('node_modules/')).map((file) => join(root, file))
  const parts = new Map<string, Part>()
  for (const folder of new Set(files.map(packageOf))) {
    const { name, version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
    parts.set(name, { name, version, text: licenceIn(folder) })
  }
  for (const [name, version] of files.flatMap(inlined))
    parts.set(name, { name, version, text: licenceIn(join(root, 'node_modules', name)) })
  return [...parts.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
}

/** The folder of the package: some have further files named package.json inside, without a name and version. */
function packageOf(file: string): string {
  for (let folder = dirname(file); ; folder = dirname(folder)) {
    const path = join(folder, 'package.json')
    if (existsSync(path) && JSON.parse(readFileSync(path, 'utf8')).version !== undefined) return folder
  }
}

/** Packages that the author of a file has bundled into it: its source map names them, in folders as pnpm makes them. */
function inlined(file: string): [name: string, version: string][] {
  if (!existsSync(`${file}.map`)) return []
  const { sources } = JSON.parse(readFileSync(`${file}.map`, 'utf8')) as { sources: string[] }
  return sources.flatMap((source): [string, string][] => {
    const [, version, name] =
      /node_modules\/\.pnpm\/@?[^@/]+@([^_/]+)[^/]*\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(source) ?? []
    return name === undefined ? [] : [[name, version!]]
  })
}

function goModules(root: string, native: string[]): Part[] {
  const go = (...args: string[]) =>
    execFileSync('go', args, { cwd: join(root, 'native'), encoding: 'utf8' }).trim()
  const inside = new Map(
    [...go('version', '-m', ...native).matchAll(/^\tdep\t(\S+)\t(\S+)/gm)].map(
      ([, name = '', version = '']) => [name, version],
    ),
  )
  const modules = [...inside].map(([name, version]) => ({
    name,
    version,
    text: licenceIn(go('list', '-m', '-f', '{{.Dir}}', name)),
  }))
  const own = join(go('env', 'GOROOT'), 'LICENSE')
  // Where a distribution leaves Go's own text out: its authors publish the same with this module.
  const authors = modules.find(({ name }) => name === 'golang.org/x/sys')?.text
  const text = existsSync(own) ? readFileSync(own, 'utf8') : authors
  if (text === undefined) throw new Error(`Go's licence is not at ${own}`)
  return [{ name: 'Go', version: go('env', 'GOVERSION').replace(/^go/, ''), text }, ...modules]
}

function licenceIn(folder: string): string {
  const names = existsSync(folder) ? readdirSync(folder).filter((name) => FILE.test(name)) : []
  if (names.length === 0)
    throw new Error(
      `no licence in ${folder}: a package that is inside another is a development dependency, for that`,
    )
  return names.map((name) => readFileSync(join(folder, name), 'utf8')).join('\n')
}
