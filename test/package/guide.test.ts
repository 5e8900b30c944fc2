// docs/guide/getting-started.md, followed to the letter in a new account: its commands in one shell, in their order, with
// what it says they print. Only the name that npm would fetch is replaced by the packed archive.
import { execFileSync, spawn } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Client } from '@modelcontextprotocol/client'
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Account, account, pack, type Packed } from '../support/packed.ts'
import { addUser, isRoot, removeUser, ROOT, type User } from '../support/users.ts'

const page = readFileSync(join(ROOT, 'docs/guide/getting-started.md'), 'utf8')
const blocks = [...page.matchAll(/^```(\w+)\n([\s\S]*?)^```$/gm)].map(([, kind, text]) => ({
  kind: kind!,
  text: text!,
}))

interface Step {
  commands: string
  /** What it prints, where the page says so; `…` stands for anything. */
  says: string | null
}
const steps = blocks.flatMap(({ kind, text }, at): Step[] => {
  const next = blocks[at + 1]
  return kind === 'sh' ? [{ commands: text, says: next?.kind === 'text' ? next.text : null }] : []
})

const literally = (text: string) => text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')

function pattern(says: string): RegExp {
  const lines = says
    .split('\n')
    .map((line) => (line === '…' ? '[\\s\\S]*' : line.split('…').map(literally).join('.*')))
  // A line of nothing but … may stand for no line at all.
  return new RegExp(`^${lines.join('\n').replaceAll('[\\s\\S]*\n', '[\\s\\S]*')}$`)
}

let packed: Packed
let user: User | undefined
let person: Account
let shell: ReturnType<typeof login>
beforeAll(() => {
  packed = pack()
  if (isRoot) user = addUser(`pyroguide${process.pid % 10_000}`)
  person = account(user)
  const made = person.sh(
    'mkdir project && cd project && git init -q && echo "# Mine" >README.md && git add . && git -c user.name=a -c user.email=a@b commit -qm first',
  )
  expect(made.stderr).toBe('')
  shell = login(person, user)
}, 300_000)
afterAll(async () => {
  person?.sh('.local/bin/pyro daemon stop --delete-workspaces')
  await shell?.end()
  if (user) removeUser(user)
}, 60_000)

/** One shell for the whole page, as its reader has. */
function login({ env, home }: Account, as: User | undefined) {
  const child = spawn('/bin/sh', [], { env, cwd: home, ...(as ? { uid: as.uid, gid: as.gid } : {}) })
  const heard = { stdout: '', stderr: '' }
  for (const name of ['stdout', 'stderr'] as const)
    child[name].setEncoding('utf8').on('data', (text) => (heard[name] += text))
  const ended = new Promise((done) => child.once('close', done))
  return {
    async run(commands: string) {
      Object.assign(heard, { stdout: '', stderr: '' })
      child.stdin.write(`${commands}\nprintf '\\036%s\\036' "$?"\n`)
      await expect
        .poll(() => /\x1e\d+\x1e$/.test(heard.stdout), { timeout: 100_000, interval: 20 })
        .toBe(true)
      const [, stdout, status] = /^([\s\S]*)\x1e(\d+)\x1e$/.exec(heard.stdout)!
      return { status: Number(status), stdout: stdout!, stderr: heard.stderr }
    },
    async end() {
      child.stdin.end()
      await ended
    },
  }
}

describe('the page', () => {
  test('is followed in two minutes', async () => {
    const from = performance.now()
    for (const { commands, says } of steps.slice(0, -1)) {
      let printed = ''
      for (const line of commands.trim().split('\n')) {
        const typed = line.replace('--global pyro-mcp', `--global '${packed.tarball}'`)
        const { status, stdout, stderr } = await shell.run(typed)
        expect([line, status, stderr]).toEqual([line, 0, expect.any(String)])
        printed += stdout
      }
      if (says !== null) expect(printed).toMatch(pattern(says))
    }
    console.log(`the guide took ${((performance.now() - from) / 1000).toFixed(1)} s`)
  }, 120_000)

  const snippets = blocks.filter(({ kind }) => kind === 'json' || kind === 'toml')
  test('gives each agent a command that serves the tools', async () => {
    expect(snippets).toHaveLength(3)
    for (const { kind, text } of snippets) {
      const [command, ...args] = kind === 'toml' ? fromToml(text) : fromJson(JSON.parse(text))
      expect([command, ...args]).toEqual(['pyro', 'mcp', 'serve'])
    }
    const client = new Client({ name: 'guide', version: '1' })
    const { env, home } = person
    const path = { ...env, PATH: `${home}/.local/bin:${env['PATH']}` }
    const become = user
      ? ['setpriv', `--reuid=${user.uid}`, `--regid=${user.gid}`, '--clear-groups']
      : ['env']
    const [program, ...args] = [...become, 'pyro', 'mcp', 'serve']
    await client.connect(new StdioClientTransport({ command: program!, args, env: path, cwd: home }))
    const { tools } = await client.listTools()
    expect(tools.map(({ name }) => name)).toContain('workspace_create')
    await client.close()
  }, 60_000)

  test('leaves nothing of the program when it is removed', async () => {
    const { status, stderr } = await shell.run(steps.at(-1)!.commands)
    expect([status, stderr]).toEqual([0, ''])
    expect(person.sh('find .local/bin .local/lib .local/share/man -name "*pyro*"').stdout).toBe('')
  }, 60_000)

  test('is found from the README', () => {
    expect(readFileSync(join(ROOT, 'README.md'), 'utf8')).toContain('(docs/guide/getting-started.md)')
    execFileSync('git', ['ls-files', '--error-unmatch', 'docs/guide/getting-started.md'], { cwd: ROOT })
  })
})

/** The two lines that the page has, as an agent's reader of TOML takes them. */
function fromToml(text: string): string[] {
  const command = /^command = (".*")$/m.exec(text)![1]!
  const args = /^args = (\[.*\])$/m.exec(text)![1]!
  return [JSON.parse(command), ...JSON.parse(args)]
}

/** By the form of Claude Code or of OpenCode. */
function fromJson(config: {
  mcpServers?: { pyro: { command: string; args: string[] } }
  mcp?: { pyro: { type: string; command: string[] } }
}): string[] {
  const { mcpServers, mcp } = config
  return mcpServers ? [mcpServers.pyro.command, ...mcpServers.pyro.args] : mcp!.pyro.command
}
