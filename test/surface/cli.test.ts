// The command line: what it prints where, its exit status, its help, and what it does with wrong words.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { describe as descriptions } from '../../src/contract/describe.ts'
import { engineEnv, newFolder, removeFolder, ROOT } from '../support/engine.ts'
import { pyro as run } from './faces.ts'

const folder = newFolder()
const env = engineEnv(folder)
const pyro = (...args: string[]) => run(env, args)

beforeAll(async () => {
  mkdirSync(join(folder, 'seed'))
  writeFileSync(join(folder, 'seed/a file.txt'), 'hello\n')
  await pyro(
    'workspace',
    'create',
    'host',
    '--name',
    'box',
    '--seed-path',
    join(folder, 'seed'),
    '--label',
    'team=core',
  )
}, 60_000)
afterAll(async () => {
  await pyro('daemon', 'stop', '--delete-workspaces')
  removeFolder(folder)
}, 60_000)

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
  expect(list.stdout).toMatch(/^WORKSPACE ID +NAME +STATE .*\nws-\w{10} +box +running +host +team=core .*\n$/)
  expect((await pyro('workspace', 'list', '--label', 'team=none')).stdout.trim().split('\n')).toHaveLength(1)
})

describe('a command', () => {
  test('has its output, its exit status and a last line of ours on standard error', async () => {
    const done = await run(
      env,
      ['workspace', 'exec', 'box'],
      ['sh', '-c', 'cat "a file.txt"; echo oops >&2; exit 3'],
    )
    expect([done.code, done.stdout]).toEqual([3, 'hello\n'])
    expect(done.stderr).toMatch(
      /^oops\n\[workspace-exec\] workspace_id=ws-\w+ job_id=job-\d+ sequence=\d+ cwd=\/workspace execution_mode=container exit_code=3 duration_ms=\d+\n$/,
    )
  })
  test('that a signal ended is 128 and its number', async () => {
    expect((await run(env, ['workspace', 'exec', 'box'], ['sh', '-c', 'kill -KILL $$'])).code).toBe(137)
  })
  test('whose time was up is 124', async () => {
    const done = await run(env, ['workspace', 'exec', 'box', '--timeout-seconds', '0.3'], ['sleep', '20'])
    expect(done.code).toBe(124)
    expect(done.stderr).toContain('timed_out=true')
  })
  test('that is not there is 127', async () => {
    expect((await run(env, ['workspace', 'exec', 'box'], ['no-such-command'])).code).toBe(127)
  })
  test('is words as they are, or one line for a shell', async () => {
    const words = await run(
      env,
      ['workspace', 'exec', 'box'],
      ['printf', '%s|', 'a b', '$HOME', '--json', '--'],
    )
    expect(words.stdout).toBe('a b|$HOME|--json|--|')
    const shell = await run(
      env,
      ['workspace', 'exec', 'box', '--shell', '--env', 'A=x y'],
      ['echo', '$A', '&& pwd'],
    )
    expect(shell.stdout).toBe('x y\n/workspace\n')
  })
  test('is given standard input when asked, and only then', async () => {
    expect((await run(env, ['workspace', 'exec', 'box', '-i'], ['cat'], 'grüße\n')).stdout).toBe('grüße\n')
    expect((await run(env, ['workspace', 'exec', 'box'], ['cat'], 'unasked\n')).stdout).toBe('')
    expect((await run(env, ['run', 'host', '-i'], ['cat'], 'grüße\n')).stdout).toBe('grüße\n')
  })
  test('is a whole result with --json', async () => {
    const done = await run(env, ['workspace', 'exec', 'box', '--json'], ['sh', '-c', 'seq 1 100000; exit 5'])
    expect([done.code, done.stderr]).toEqual([5, ''])
    const result = JSON.parse(done.stdout)
    expect(result).toMatchObject({
      state: 'exited',
      exit_code: 5,
      stdout_stream: { cursor: 588_895, dropped: 0, eof: true },
    })
    expect(result.stdout).toHaveLength(588_895)
  })
  test('is shown again by logs and by its job', async () => {
    await run(env, ['workspace', 'exec', 'box'], ['echo', 'once more'])
    expect((await pyro('workspace', 'logs', 'box', '--limit', '1')).stdout).toMatch(
      /command="echo once more".*\nonce more\n$/,
    )
    const list = await pyro('workspace', 'job', 'list', 'box', '--limit', '1')
    const job = /job-\d+/.exec(list.stdout)![0]
    expect((await pyro('workspace', 'job', 'read', 'box', job)).stdout).toBe('once more\n')
  })
})

/** A command line that is under way. */
function start(...args: string[]) {
  const child = spawn(join(ROOT, 'bin/pyro'), args, { env, cwd: folder })
  let text = ''
  child.stdout.setEncoding('utf8').on('data', (part) => (text += part))
  const says = async (wanted: string) => {
    for (const end = Date.now() + 20_000; !text.includes(wanted); await sleep(10))
      if (Date.now() > end) throw new Error(`no ${wanted} in ${text}`)
  }
  return { child, says, text: () => text, closed: once(child, 'close') }
}
const workspaces = async () =>
  JSON.parse((await pyro('workspace', 'list', '--json')).stdout).workspaces.length

describe('Ctrl-C', () => {
  test('goes to the command', async () => {
    const { child, says, text, closed } = start(
      'workspace',
      'exec',
      'box',
      '--',
      'sh',
      '-c',
      'trap "echo caught; exit 9" INT; echo ready; while :; do sleep 0.1; done',
    )
    await says('ready')
    child.kill('SIGINT')
    expect((await closed)[0]).toBe(9)
    expect(text()).toBe('ready\ncaught\n')
  }, 30_000)

  test('twice ends what does not listen', async () => {
    const { child, says, closed } = start(
      'workspace',
      'exec',
      'box',
      '--',
      'sh',
      '-c',
      'trap "" INT; echo ready; while :; do sleep 0.1; done',
    )
    await says('ready')
    child.kill('SIGINT')
    await sleep(300)
    expect(child.exitCode).toBeNull()
    child.kill('SIGINT')
    expect((await closed)[0]).toBe(143)
  }, 30_000)

  test('deletes the workspace of a run', async () => {
    const before = await workspaces()
    const { child, says, closed } = start('run', 'host', '--', 'sh', '-c', 'echo ready; sleep 100')
    await says('ready')
    expect(await workspaces()).toBe(before + 1)
    child.kill('SIGINT')
    expect((await closed)[0]).toBe(130)
    expect(await workspaces()).toBe(before)
  }, 30_000)
})

test('a reader who has seen enough ends the command and is no error', async () => {
  const { child, closed } = start('workspace', 'exec', 'box', '--', 'sh', '-c', 'yes; true')
  let complaints = ''
  child.stderr.on('data', (text) => (complaints += text))
  await once(child.stdout, 'data')
  child.stdout.destroy()
  expect((await closed)[0]).toBe(141)
  expect(complaints).toBe('')
  expect(
    JSON.parse((await pyro('workspace', 'job', 'list', 'box', '--running', '--json')).stdout).jobs,
  ).toEqual([])
}, 30_000)

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
