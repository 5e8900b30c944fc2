// exec and run on the command line: what of a command comes through, standard input, Ctrl-C, a reader who leaves.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, test } from 'vitest'
import { ROOT } from '../support/engine.ts'
import { cliBox, pyro as run } from './faces.ts'

const { folder, env, pyro } = cliBox()

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
