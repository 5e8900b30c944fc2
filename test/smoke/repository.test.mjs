// The repository's own consistency, in plain JavaScript for any Node from 18 on: what the demo runs inside a workspace,
// where there is nothing but the checkout and this machine's tools.
import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../..')
const below = (folder) =>
  readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) =>
    entry.isDirectory() ? below(join(folder, entry.name)) : [join(folder, entry.name)],
  )
const sources = below('src').filter((path) => path.endsWith('.ts'))

test('every relative import leads to a file', () => {
  for (const path of sources) {
    for (const [, target] of readFileSync(join(root, path), 'utf8').matchAll(/from '(\.[^']+)'/g)) {
      assert.ok(existsSync(join(root, dirname(path), target)), `${path} imports ${target}`)
    }
  }
})

test('every operation has a file of its own name, and the table lists it', () => {
  const table = readFileSync(join(root, 'src/contract/table.ts'), 'utf8')
  for (const file of readdirSync(join(root, 'src/contract/operations'))) {
    const name = file.replace('.ts', '')
    assert.match(readFileSync(join(root, 'src/contract/operations', file), 'utf8'), new RegExp(`name: '${name}'`))
    assert.match(table, new RegExp(`^ {2}${name},$`, 'm'))
  }
})

test('every room has its place in ARCHITECTURE.md', () => {
  const page = readFileSync(join(root, 'ARCHITECTURE.md'), 'utf8')
  for (const room of readdirSync(join(root, 'src'))) assert.ok(page.includes(`${room}/`), room)
})

test('the launcher and the scripts are valid shell, and can be executed', () => {
  for (const path of ['bin/pyro', 'scripts/bootstrap', 'scripts/test', 'scripts/find-node', 'scripts/demo']) {
    const shell = readFileSync(join(root, path), 'utf8').startsWith('#!/bin/sh') ? 'sh' : 'bash'
    execFileSync(shell, ['-n', join(root, path)])
    assert.ok(statSync(join(root, path)).mode & 0o100, path)
  }
})

test('a report of what was looked at can be taken out', () => {
  const report = { files: sources.length, folder: relative('/', root), at: new Date().toISOString() }
  writeFileSync(join(root, 'smoke-report.json'), `${JSON.stringify(report, null, 2)}\n`)
  assert.ok(existsSync(join(root, 'smoke-report.json')))
})
