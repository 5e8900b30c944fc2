// The command line: what it prints where, its exit status, its help, and what it does with wrong words.
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { describe as descriptions } from '../../src/contract/describe.ts'
import { engineEnv, newFolder, removeFolder, ROOT } from '../support/engine.ts'
import { cliBox, pyro as run } from './faces.ts'

const { folder, pyro } = cliBox()

describe('help', () => {
  test.each(descriptions().map((operation) => [operation.command.join(' '), operation]))(
    '%s',
    async (words, operation) => {
      const { code, stdout, stderr } = await pyro(...words.split(' '), '--help')
      expect([code, stderr]).toEqual([0, ''])
      expect(stdout).toContain(`Usage: pyro ${words} [options]`)
      expect(stdout).toContain(operation.summary.slice(0, 40))
      for (const { flag } of operation.flags) expect(stdout).toContain(`--${flag}`)
      for (const { field } of operation.positionals) expect(stdout).toContain(field)
      for (const example of operation.examples) expect(stdout).toContain(`$ pyro ${example}`)
    },
  )

  test('a group lists its commands, and help is a word too', async () => {
    const group = await pyro('workspace', '--help')
    for (const word of ['create', 'exec', 'export', 'delete', 'job'])
      expect(group.stdout).toMatch(new RegExp(`^  ${word} `, 'm'))
    expect((await pyro('help', 'workspace', 'exec')).stdout).toContain('-- <command...>')
    expect((await pyro('mcp', 'serve', '--help')).stdout).toContain('standard input')
    expect(await pyro('--version')).toMatchObject({
      code: 0,
      stdout: `${JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')).version}\n`,
    })
  })
})

test.each<[string[], RegExp]>([
  [['workspce'], /unknown command 'workspce'\n\(Did you mean workspace\?\)/],
  [['workspace', 'crate'], /Did you mean create\?/],
  [['workspace', 'list', '--lable', 'a=b'], /unknown option '--lable'\n\(Did you mean --label\?\)/],
  [['workspace', 'status'], /missing required argument 'workspace_id'/],
  [['workspace', 'status', 'a', 'b'], /too many arguments/],
  [['workspace', 'exec', 'box', 'ls'], /too many arguments[\s\S]*hint: the command to run goes after --/],
  [['workspace', 'exec', 'box'], /There is no command to run\.\nhint: Give it after --/],
  [['workspace', 'create', 'host', '--label', 'novalue'], /KEY=VALUE/],
  [['workspace', 'create', 'host', '--mem-mib', 'lots'], /whole number/],
  [['workspace', 'create', 'host', '--mem-mib', '1'], /mem_mib: .*>=64/],
  [['workspace', 'job', 'kill', 'box', 'job-1', '--signal', 'SIGFOO'], /Allowed choices are SIGHUP/],
  [['workspace', 'export', 'box', 'a'], /required option '--output/],
])('%j is a usage error', async (args, message) => {
  const { code, stdout, stderr } = await pyro(...args)
  expect(code).toBe(2)
  expect(stdout).toBe('')
  expect(stderr).toMatch(message)
  const json = await pyro(...args, '--json')
  expect([json.code, json.stderr]).toEqual([2, ''])
  expect(JSON.parse(json.stdout).error).toMatchObject({ code: 'invalid_input', retryable: false })
})

test('an error has its message and hint on standard error, and its own exit status', async () => {
  expect(await pyro('workspace', 'status', 'nobody')).toEqual({
    code: 3,
    stdout: '',
    stderr: 'error: There is no workspace "nobody".\nhint: See pyro workspace list.\n',
  })
  const again = await pyro('workspace', 'create', 'host', '--name', 'box', '--json')
  expect([again.code, again.stderr]).toEqual([4, ''])
  expect(JSON.parse(again.stdout).error.code).toBe('name_taken')
})

test('results are tagged lines, lists are tables', async () => {
  const status = await pyro('workspace', 'status', 'box')
  expect(status.stdout).toMatch(
    /^\[workspace-status\] workspace_id=ws-\w{10} name=box labels=team=core state=running /,
  )
  expect(status.stdout).toMatch(/^\[workspace-status\] limits: enforcement=full /m)
  expect(status.stdout).toMatch(/^\[workspace-status\] workspace_seed: origin_kind=directory /m)
  const list = await pyro('workspace', 'list', '--label', 'team=core')
  expect(list.stdout).toMatch(
    /^WORKSPACE ID +NAME +STATE .*\nws-\w{10} +box +running +host +oci +container +team=core .*\n$/,
  )
  expect((await pyro('workspace', 'list', '--label', 'team=none')).stdout.trim().split('\n')).toHaveLength(1)
})

test('create prints nothing but the id when that is asked, and paths are meant from where one is', async () => {
  const { code, stdout } = await pyro('workspace', 'create', 'host', '--seed-path', 'docs', '--id-only')
  expect(code).toBe(0)
  expect(stdout).toMatch(/^ws-[0-9a-z]{10}\n$/)
  const id = stdout.trim()
  const exported = await pyro(
    'workspace',
    'export',
    id,
    'openapi.json',
    '--output',
    join(folder, 'openapi.json'),
  )
  expect(exported.stdout).toMatch(/^\[workspace-export\] .* kind=file files=1 /)
  expect(existsSync(join(folder, 'openapi.json'))).toBe(true)
  expect((await pyro('workspace', 'delete', id)).stdout).toMatch(/deleted=true/)
}, 30_000)

test('the demonstration shows its steps and what the command says', async () => {
  const { code, stdout, stderr } = await pyro('demo', '--seed-path', join(folder, 'seed'))
  expect(code).toBe(0)
  expect(stdout).toContain('a file.txt')
  expect(stderr).toBe('[demo] create\n[demo] exec\n[demo] export\n[demo] delete\n')
  expect(stdout).toMatch(/\[demo\] ok=true /)
}, 30_000)

test('the engine is asked without being started', async () => {
  const other = engineEnv(newFolder())
  expect(await run(other, ['daemon'])).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/^\[daemon-status\] running=false /),
  })
  expect(JSON.parse((await run(other, ['daemon', 'stop', '--json'])).stdout)).toEqual({
    stopped: false,
    deleted_workspaces: [],
    running_workspaces: 0,
  })
  expect(existsSync(join(other['PYRO_HOME']!, 'pyro.db'))).toBe(false)
  removeFolder(join(other['PYRO_HOME']!, '..'))
}, 30_000)
