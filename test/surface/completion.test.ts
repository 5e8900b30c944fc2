// Completion as real shells do it: keys typed at a terminal, and what the line then is.
import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { describe as descriptions } from '../../src/contract/describe.ts'
import { completionTable } from '../../src/surface/cli/completion/table.ts'
import { commandWords, type Shell } from '../../src/surface/cli/words.ts'
import { engineEnv, newFolder, removeFolder, ROOT } from '../support/engine.ts'
import { installed, terminal, type Typist } from '../support/terminal.ts'
import { cliBox, pyro as run } from './faces.ts'

const { folder, env: bare, pyro } = cliBox()
const env = { ...bare, PATH: `${join(ROOT, 'bin')}:${bare['PATH']}`, LC_ALL: 'C.UTF-8' }
const scripts = join(folder, 'scripts')
const entries = completionTable(commandWords(descriptions()))

const file = { bash: 'pyro.bash', zsh: '_pyro', fish: 'pyro.fish' }
beforeAll(async () => {
  mkdirSync(scripts)
  for (const shell of ['bash', 'zsh', 'fish'] as const)
    writeFileSync(join(scripts, file[shell]), (await pyro('completion', shell)).stdout)
  // What `$program __complete` finds has the ids of this workspace and of one job.
  await pyro('workspace', 'exec', 'box', '--', 'true')
}, 60_000)

/** Lines, the key, and what the line has become. `_` is where something of its own follows. */
const LINES: [typed: string, line: RegExp][] = [
  ['pyro works', /^workspace$/],
  ['pyro workspace jo', /^workspace job$/],
  ['pyro workspace job ki', /^workspace job kill$/],
  ['pyro workspace create --back', /^workspace create --backend$/],
  ['pyro workspace create --backend qe', /^workspace create --backend qemu$/],
  ['pyro workspace create --isolation mach', /^workspace create --isolation machine$/],
  [
    'pyro workspace create host --name x --seed-path sub',
    /^workspace create host --name x --seed-path subfolder\/?$/,
  ],
  ['pyro workspace status bo', /^workspace status box$/],
  ['pyro workspace exec bo', /^workspace exec box$/],
  ['pyro workspace status ws', /^workspace status ws-[0-9a-z]{10}$/],
  ['pyro workspace job read box job', /^workspace job read box job-\S+$/],
  ['pyro env inspect debian:12-bas', /^env inspect debian:12-base$/],
  ['pyro run host -- ls subf', /^run host -- ls subfolder\/?$/],
  ['pyro completion zs', /^completion zsh$/],
  ['pyro daemon stop --delete', /^daemon stop --delete-workspaces$/],
]

/** `pyro` shows the line that it was called with; what completion asks goes to the real one. */
const SHOW = 'pyro() { case $1 in __complete) command pyro "$@";; *) printf "<%s>\\n" "$*";; esac; }'
const START: Record<'bash' | 'zsh', { command: string; setUp: string[] }> = {
  bash: {
    command: 'bash --noprofile --norc -i',
    setUp: [SHOW, "bind 'set bell-style none'", `source ${join(scripts, file.bash)}`],
  },
  zsh: {
    command: 'zsh -f -i',
    setUp: [SHOW, `fpath=(${scripts} $fpath); autoload -Uz compinit; compinit -u -D`],
  },
}

describe.each(['bash', 'zsh'] as const)('%s', (shell) => {
  let typist: Typist
  beforeAll(async () => {
    if (!installed(shell)) return
    mkdirSync(join(folder, 'here/subfolder'), { recursive: true })
    typist = terminal(START[shell].command, { ...env, PS1: '% ' }, join(folder, 'here'))
    for (const [at, line] of START[shell].setUp.entries())
      await typist.type(`${line}; echo "set" "up" ${at}\n`, new RegExp(`set up ${at}`))
  }, 60_000)
  afterAll(() => typist?.close())

  test.skipIf(!installed(shell)).each(LINES)(
    '%s',
    async (typed, line) => {
      const [, become = ''] = await typist.type(`${typed}\t\n`, /<(.*)>/)
      expect(become.trim()).toMatch(line)
    },
    40_000,
  )
})

describe('fish', () => {
  /** fish says by itself what it would offer. */
  const offers = (line: string) =>
    spawnSync(
      'fish',
      ['--no-config', '-c', `source ${join(scripts, file.fish)}; complete -C ${JSON.stringify(line)}`],
      {
        env,
        cwd: join(folder, 'here'),
        encoding: 'utf8',
      },
    )
      .stdout.split('\n')
      .map((one) => one.split('\t')[0]!)
      .filter((one) => one !== '')

  test.skipIf(!installed('fish')).each(LINES)(
    '%s',
    (typed, line) => {
      mkdirSync(join(folder, 'here/subfolder'), { recursive: true })
      const before = typed.slice('pyro '.length, typed.lastIndexOf(' ') + 1)
      const found = offers(typed)
      expect(found.map((word) => `${before}${word}`.trim())).toEqual([expect.stringMatching(line)])
    },
    40_000,
  )

  test.skipIf(!installed('fish'))(
    'a group offers its commands with what they do, and a command its flags',
    () => {
      const { subcommands } = entries.find(({ path }) => path === 'env')!
      expect(offers('pyro env ')).toEqual(subcommands.map(({ name }) => name).toSorted())
      expect(offers('pyro workspace status --')).toEqual(['--help', '--json'])
    },
  )
})

describe('every command', () => {
  /** bash's function, called for each line as bash calls it. */
  function bash(lines: string[][]): string[][] {
    const calls = lines.map((words) => {
      const array = words.map((word) => `'${word}'`).join(' ')
      return `COMP_WORDS=(${array}); COMP_CWORD=${words.length - 1}; COMP_LINE='${words.join(' ')}'; COMP_POINT=\${#COMP_LINE}; _pyro pyro; echo "\${COMPREPLY[*]}"`
    })
    const script = `source ${join(scripts, file.bash)}; ${calls.join('; ')}`
    const { stdout, stderr } = spawnSync('bash', ['--norc', '-c', script], { env, encoding: 'utf8' })
    expect(stderr).toBe('')
    return stdout
      .trimEnd()
      .split('\n')
      .map((line) => line.split(' '))
  }

  test('offers its words and its flags, in bash', () => {
    const path = (entry: { path: string }) => ['pyro', ...entry.path.split(' ').filter((word) => word !== '')]
    const flags = bash(entries.map((entry) => [...path(entry), '--']))
    for (const [at, { flags: known }] of entries.entries())
      expect(flags[at]!.toSorted()).toEqual(known.map(({ flag }) => `--${flag}`).toSorted())
    const groups = entries.filter(({ subcommands }) => subcommands.length > 0)
    const words = bash(groups.map((entry) => [...path(entry), '']))
    for (const [at, { subcommands }] of groups.entries())
      expect(words[at]).toEqual(subcommands.map(({ name }) => name))
  })

  test('of the contract is in the table, with all its flags', () => {
    for (const { command, flags } of descriptions()) {
      const entry = entries.find(({ path }) => path === command.join(' '))!
      expect(entry.flags.map(({ flag }) => flag)).toEqual(
        expect.arrayContaining(flags.map(({ flag }) => flag)),
      )
    }
  })

  // A stand-in for the command: no engine gives such a name.
  const HOSTILE = '`touch pwned`$(touch pwned);touch pwned'
  const CALLS: Record<Shell, string> = {
    bash: `source ${join(scripts, file.bash)}; COMP_WORDS=(pyro workspace status ''); COMP_CWORD=3; COMP_LINE='pyro workspace status '; COMP_POINT=22; _pyro pyro; printf '%s\\n' "\${COMPREPLY[@]}"`,
    // Only what it hands to the shell's own function counts.
    zsh: `compdef() { }; _describe() { print -rl -- "\${(@P)argv[-1]%%:*}"; }; source ${join(scripts, file.zsh)}; words=(pyro workspace status ''); CURRENT=4; _pyro`,
    fish: `source ${join(scripts, file.fish)}; complete -C 'pyro workspace status '`,
  }
  test.each(['bash', 'zsh', 'fish'] as Shell[])('names that would be run stay words in %s', (shell) => {
    if (!installed(shell)) return
    const fake = join(folder, `fake-${shell}`)
    mkdirSync(fake, { recursive: true })
    writeFileSync(join(fake, 'pyro'), `#!/bin/sh\nprintf '%s\\tx\\n' '${HOSTILE}'\n`, { mode: 0o755 })
    const args = { bash: ['--norc'], zsh: ['-f'], fish: ['--no-config'] }[shell]
    const { stdout } = spawnSync(shell, [...args, '-c', CALLS[shell]], {
      env: { ...env, PATH: `${fake}:${env.PATH}` },
      cwd: fake,
      encoding: 'utf8',
    })
    // fish quotes what it offers.
    expect(stdout.replaceAll('\\', '')).toContain(HOSTILE)
    expect(readdirSync(fake)).toEqual(['pyro'])
  })
})

test('names are asked of an engine that runs; none is started for it', async () => {
  expect((await pyro('__complete', 'workspace')).stdout).toMatch(
    /^box\trunning, host\nws-\w{10}\trunning, host\n$/,
  )
  const other = engineEnv(newFolder())
  for (const kind of ['workspace', 'job', 'environment', 'nonsense'])
    expect(await run(other, ['__complete', kind, 'box'])).toEqual({ code: 0, stdout: '', stderr: '' })
  expect(JSON.parse((await run(other, ['daemon', 'status', '--json'])).stdout)).toMatchObject({
    running: false,
  })
  removeFolder(join(other['PYRO_HOME']!, '..'))
})

test('the hidden command is in no help', async () => {
  expect((await pyro('--help')).stdout).not.toContain('__complete')
})
