// The package as a person installs it: by npm, from the archive alone, in an account that has nothing yet.
import { chmodSync, existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type Account, account, pack, type Packed } from '../support/packed.ts'
import { addUser, isRoot, removeUser, type User } from '../support/users.ts'

let packed: Packed
let user: User | undefined
let person: Account
beforeAll(() => {
  packed = pack()
  if (isRoot) user = addUser(`pyropkg${process.pid % 10_000}`)
  person = account(user)
}, 300_000)
afterAll(() => {
  person?.sh('.npm-global/bin/pyro daemon stop --delete-workspaces')
  if (user) removeUser(user)
}, 60_000)

const pyro = (words: string) => person.sh(`"$HOME/.npm-global/bin/pyro" ${words}`)

describe('npm install --global', () => {
  test('needs no root, no network, no script', () => {
    const { status, stderr } = person.sh(
      `npm config set prefix "$HOME/.npm-global" && npm install --offline --ignore-scripts --no-audit --global '${packed.tarball}'`,
    )
    expect([status, stderr]).toEqual([0, ''])
    expect(pyro('--version').stdout).toMatch(/^\d+\.\d+\.\d+\n$/)
  })

  test('brings a command that works: doctor, and a workspace from its creation to its end', () => {
    const { stdout } = pyro('doctor --json')
    expect(JSON.parse(stdout)).toMatchObject({ ok: true })
    expect(pyro("run host -- sh -c 'id -u; pwd'")).toMatchObject({ status: 0, stdout: '0\n/workspace\n' })
  }, 120_000)

  test('brings the manual page to where man finds it', () => {
    expect(existsSync(join(person.home, '.npm-global/share/man/man1/pyro.1'))).toBe(true)
  })

  test('brings the SDK, to import and to require', () => {
    const program =
      'const p = await Pyro.connect(); console.log((await p.listEnvironments()).environments[0].name); p.close()'
    person.sh('mkdir -p app && cd app && npm init -y')
    expect(person.sh(`cd app && npm install --offline --no-audit '${packed.tarball}'`)).toMatchObject({
      status: 0,
    })
    const asModule = `import { Pyro } from 'pyro-mcp'; ${program}`
    const asCommon = `const { Pyro } = require('pyro-mcp'); (async () => { ${program} })()`
    for (const [file, source] of [
      ['a.mjs', asModule],
      ['a.cjs', asCommon],
    ] as const)
      expect(
        person.sh(`cd app && cat >${file} && node ${file}`.replace('cat', `printf %s "$SOURCE"`), {
          SOURCE: source,
        }),
      ).toMatchObject({
        stdout: 'host\n',
      })
  })

  test('is taken away without a trace', () => {
    expect(pyro('daemon stop --delete-workspaces').status).toBe(0)
    person.sh('npm uninstall --global pyro-mcp')
    expect(person.sh('find .npm-global -name "*pyro*"').stdout).toBe('')
  })
})

describe('without a Node that is new enough', () => {
  /** Only the folder's programs are on PATH, and of the places of version managers none is there. */
  function launch(programs: Record<string, string>, ...masked: string[]) {
    const bin = join(person.home, `bin-${Object.keys(programs).join('-')}`)
    mkdirSync(bin, { recursive: true })
    for (const [name, script] of Object.entries(programs)) {
      writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`)
      chmodSync(join(bin, name), 0o755)
    }
    const hidden = [...masked, '/usr/local/bin/node', '/usr/bin/node'].filter((path) => existsSync(path))
    const script = `${hidden.map((path) => `mount --bind /dev/null ${path}`).join(' && ') || ':'} && exec "$@"`
    return spawnSync(
      'unshare',
      ['--mount', 'sh', '-c', script, 'sh', join(packed.folder, 'bin/pyro'), '--version'],
      {
        env: { PATH: `${bin}:/usr/bin:/bin`, HOME: bin },
        encoding: 'utf8',
      },
    )
  }

  test.runIf(isRoot)('it says which one it found, and how to get another', () => {
    const { status, stdout, stderr } = launch({ node: 'echo v20.19.3', npm: ':' })
    expect([status, stdout]).toEqual([70, ''])
    expect(stderr).toMatch(
      /^pyro: Node 24 or newer is needed; the newest Node here is 20\.19, at .*\/node\.\nhint: .*npm install --global node/,
    )
  })

  test.runIf(isRoot)('it says that there is none', () => {
    const { status, stdout, stderr } = launch({})
    expect([status, stdout]).toEqual([70, ''])
    expect(stderr).toMatch(/^pyro: Node 24 or newer is needed; no Node was found.*\nhint: .*nodejs\.org/)
  })

  test.runIf(isRoot)(
    'it takes the newest of those that are new enough, wherever a version manager put it',
    () => {
      const home = join(person.home, 'managers')
      const made = (path: string, version: string) => {
        mkdirSync(join(home, path, '..'), { recursive: true })
        writeFileSync(
          join(home, path),
          `#!/bin/sh\n[ "$1" = --version ] && echo v${version} || echo "ran $0"\n`,
        )
        chmodSync(join(home, path), 0o755)
      }
      made('.nvm/versions/node/v24.1.0/bin/node', '24.1.0')
      made('.nvm/versions/node/v26.2.0/bin/node', '26.2.0')
      made('.volta/tools/image/node/25.0.0/bin/node', '25.0.0')
      const { stdout } = spawnSync(join(packed.folder, 'bin/pyro'), ['--version'], {
        env: { PATH: '/usr/bin:/bin', HOME: home },
        encoding: 'utf8',
      })
      expect(stdout).toBe(`ran ${home}/.nvm/versions/node/v26.2.0/bin/node\n`)
    },
  )
})
