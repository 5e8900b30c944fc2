// An engine by its address: the main job as root and as an ordinary user, an engine that goes and comes again, two users.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chownSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { type Server, createServer } from 'node:http'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest'
import { client } from '../../src/surface/sdk/client.ts'
import { type PyroError, Pyro } from '../../src/surface/sdk/index.ts'
import {
  engineEnv,
  killEngines,
  newFolder,
  removeFolder,
  ROOT,
  startEngine,
  type TestEngine,
} from '../support/engine.ts'
import { addUser, checkoutFor, isRoot, removeUser, type User } from '../support/users.ts'

const opened = vi.hoisted(() => [] as string[])
vi.mock('../../src/channel/spool.ts', async (importOriginal) => {
  const real = await importOriginal<typeof import('../../src/channel/spool.ts')>()
  const openSpool = (path: string) => {
    opened.push(path)
    return real.openSpool(path)
  }
  return { ...real, openSpool }
})

interface Place {
  url: string
  token: string
}
async function listen(engine: TestEngine): Promise<Place> {
  const { url } = await engine.call('daemon_listen', { address: '127.0.0.1:0' })
  return { url: url!, token: (await engine.call('daemon_token', {})).token }
}
const failure = (work: Promise<unknown>): Promise<PyroError> =>
  work.then(
    (value) => Promise.reject(new Error(`did not fail: ${JSON.stringify(value)}`)),
    (error) => error,
  )

/** A command line, or a program, of somebody whose own PYRO_HOME is empty and stays so. */
function somebody(at: Partial<Place>, user?: User) {
  const folder = newFolder(user)
  const checkout = user ? checkoutFor(user) : ROOT
  const node = process.execPath.replace(ROOT, checkout)
  const env = engineEnv(
    folder,
    {
      ...(at.url === undefined ? {} : { PYRO_URL: at.url }),
      ...(at.token === undefined ? {} : { PYRO_TOKEN: at.token }),
    },
    user,
  )
  const who = user ? { uid: user.uid, gid: user.gid } : {}
  const run = (program: string, args: string[], input?: string) => {
    const options = {
      cwd: folder,
      env,
      encoding: 'utf8',
      timeout: 60_000,
      ...(input ? { input } : {}),
      ...who,
    } as const
    const { status, stdout, stderr } = spawnSync(program, args, options)
    return { code: status, stdout, stderr }
  }
  return {
    folder,
    checkout,
    pyro: (...args: string[]) => run(join(checkout, 'bin/pyro'), args),
    program: (text: string) => run(node, ['--input-type=module', '-e', text]),
    leave() {
      expect(readdirSync(join(folder, 'home'))).toEqual([])
      removeFolder(folder)
    },
  }
}

afterEach(killEngines)

function mainJob(name: string, makeUser?: () => User): void {
  describe(name, () => {
    let user: User | undefined
    let engine: TestEngine
    let at: Place
    let project: string
    let me: ReturnType<typeof somebody>
    const folders: string[] = []

    beforeAll(async () => {
      user = makeUser?.()
      const folder = newFolder(user)
      folders.push(folder)
      project = join(folder, 'project')
      mkdirSync(project)
      writeFileSync(join(project, 'sum.py'), 'print(sum(range(10)))\n')
      if (user) for (const path of [project, join(project, 'sum.py')]) chownSync(path, user.uid, user.gid)
      engine = await startEngine({ folder, user })
      at = await listen(engine)
      await engine.kill()
      me = somebody(at, user)
    }, 60_000)
    afterAll(async () => {
      engine = await startEngine({ folder: folders[0]!, user })
      await engine.stop()
      me.leave()
      for (const folder of folders) removeFolder(folder)
      if (user) removeUser(user)
    })
    const start = async () => {
      engine = await startEngine({ folder: folders[0]!, user })
    }

    test('command line: create, exec, export, delete, with nothing of its own', async () => {
      await start()
      const made = me.pyro(
        'workspace',
        'create',
        'host',
        '--seed-path',
        project,
        '--name',
        'job',
        '--id-only',
      )
      expect(made).toMatchObject({ code: 0, stdout: expect.stringMatching(/^ws-[0-9a-z]{10}\n$/) })
      const ran = me.pyro(
        'workspace',
        'exec',
        'job',
        '--',
        'sh',
        '-c',
        'python3 sum.py | tee out.txt; exit 3',
      )
      expect(ran).toMatchObject({ code: 3, stdout: '45\n' })
      const out = join(folders[0]!, 'run/out.txt')
      expect(me.pyro('workspace', 'export', 'job', 'out.txt', '--output', out)).toMatchObject({ code: 0 })
      expect(readFileSync(out, 'utf8')).toBe('45\n')
      expect(me.pyro('workspace', 'delete', 'job')).toMatchObject({ code: 0 })
      expect(me.pyro('run', 'host', '--', 'sh', '-c', 'echo out; exit 4')).toMatchObject({
        code: 4,
        stdout: 'out\n',
      })
      const status = JSON.parse(me.pyro('daemon', 'status', '--json').stdout)
      expect(status).toMatchObject({ running: true, pid: engine.process.pid, http: { url: at.url } })
    }, 60_000)

    test('SDK: the same job in a program that knows an address and a token', async () => {
      await start()
      const output = join(folders[0]!, 'run/answer')
      const program = `
        import { Pyro } from ${JSON.stringify(join(me.checkout, 'src/surface/sdk/index.ts'))}
        using pyro = await Pyro.connect()
        const seedPath = ${JSON.stringify(project)}
        const steps = []
        const { workspaceId } = await pyro.createWorkspace({ environment: 'host', seedPath })
        await pyro.demo({ seedPath }, { onProgress: ({ kind }) => steps.push(kind) })
        const job = await pyro.exec(workspaceId, 'tee typed; python3 sum.py >answer; head -c 3000000 /dev/zero', { stdinOpen: true })
        await job.write('hello')
        await job.write('', { eof: true })
        let bytes = 0
        for await (const part of job.output()) bytes += part.data.length
        await pyro.exportWorkspace({ workspaceId, path: 'answer', outputPath: ${JSON.stringify(output)} })
        const { neverExported } = await pyro.deleteWorkspace({ workspaceId })
        console.log(JSON.stringify({ bytes, exit: (await job.result).exitCode, left: neverExported.count, steps: [...new Set(steps)].sort() }))`
      const done = me.program(program)
      expect(done.stderr).toBe('')
      expect(JSON.parse(done.stdout)).toMatchObject({
        bytes: 3_000_005,
        exit: 0,
        left: 1,
        steps: ['output', 'step'],
      })
      expect(readFileSync(output, 'utf8')).toBe('45\n')
    }, 60_000)

    test('what needs this machine is refused with a code', async () => {
      await start()
      for (const args of [
        ['daemon', 'stop'],
        ['daemon', 'token'],
        ['daemon', 'token', '--rotate'],
        ['daemon', 'listen', '--off'],
      ]) {
        const { code, stdout } = me.pyro(...args, '--json')
        expect([code, JSON.parse(stdout).error.code]).toEqual([6, 'local_only'])
      }
      const relative = me.pyro('workspace', 'create', 'host', '--seed-path', '.', '--json')
      expect([relative.code, JSON.parse(relative.stdout).error]).toMatchObject([
        2,
        { code: 'invalid_input', message: expect.stringMatching(/^seed_path: "\." must be absolute/) },
      ])
    }, 60_000)

    test('an engine that is killed and comes again is the same one to a client that stayed', async () => {
      await start()
      using pyro = await Pyro.connect(at)
      const { workspaceId } = await pyro.createWorkspace({ environment: 'host' })
      const job = await pyro.exec(workspaceId, 'for i in $(seq 60); do echo line $i; sleep 0.05; done')
      let text = ''
      let killed = false
      for await (const { data } of job.output()) {
        text += Buffer.from(data).toString()
        if (killed || !text.includes('line 5\n')) continue
        killed = true
        await engine.kill()
        await start()
      }
      expect(text).toBe(Array.from({ length: 60 }, (_, i) => `line ${i + 1}\n`).join(''))
      expect((await job.result).exitCode).toBe(0)

      await engine.kill()
      const asked = pyro.createWorkspace({ environment: 'host', name: 'after' })
      await sleep(500)
      await start()
      expect((await asked).name).toBe('after')
      for (const each of [workspaceId, 'after']) await pyro.deleteWorkspace({ workspaceId: each })
    }, 60_000)
  })
}

mainJob(isRoot ? 'as root' : 'as the present user')
if (isRoot) mainJob('as an ordinary user', () => addUser(`pyrofar${process.pid}`))
else test.skip('as an ordinary user beside root: needs root to make one', () => {})

test('output comes through the engine, byte for byte, and no file that it names is opened', async () => {
  const engine = await startEngine()
  const at = await listen(engine)
  const take = async (pyro: Pyro) => {
    const { workspaceId } = await pyro.createWorkspace({ environment: 'host' })
    const command = 'head -c 30000000 /dev/urandom >big; sha256sum big >&2; cat big'
    const job = await pyro.exec(workspaceId, ['bash', '-c', command])
    const hash = createHash('sha256')
    let said = ''
    for await (const { stream, data } of job.output()) {
      if (stream === 'stdout') hash.update(data)
      else said += Buffer.from(data).toString()
    }
    expect(job.dropped).toEqual({ stdout: 0, stderr: 0 })
    expect(said.slice(0, 64)).toBe(hash.digest('hex'))
    await pyro.deleteWorkspace({ workspaceId })
  }
  opened.length = 0
  using remote = await Pyro.connect(at)
  await take(remote)
  expect(opened).toEqual([])
  // The same job on this machine does open it: the test sees what it looks for.
  using local = await Pyro.connect({ home: engine.home, autostart: false })
  await take(local)
  expect(opened).not.toEqual([])
  await engine.stop()
  removeFolder(engine.folder)
}, 60_000)

test.runIf(isRoot)(
  'two users have two engines: neither has the token of the other, nor is it answered',
  async () => {
    const user = addUser(`pyrotwo${process.pid}`)
    const [mine, theirs] = [await startEngine(), await startEngine({ folder: newFolder(user), user })]
    try {
      const [here, there] = [await listen(mine), await listen(theirs)]
      expect(here.url).not.toBe(there.url)
      using first = await Pyro.connect(here)
      using second = await Pyro.connect(there)
      const { workspaceId } = await first.createWorkspace({ environment: 'host', name: 'mine' })
      await second.createWorkspace({ environment: 'host', name: 'theirs' })
      expect((await first.listWorkspaces()).workspaces.map(({ name }) => name)).toEqual(['mine'])
      expect((await second.listWorkspaces()).workspaces.map(({ name }) => name)).toEqual(['theirs'])
      for (const [url, token] of [
        [here.url, there.token],
        [there.url, here.token],
      ] as const)
        expect(await failure(Pyro.connect({ url, token }))).toMatchObject({ code: 'unauthorized' })
      const peek = spawnSync('cat', [join(mine.home, 'http-token')], { uid: user.uid, gid: user.gid })
      expect([peek.status === 0, peek.stdout.length]).toEqual([false, 0])
      // The address of another is taken, whoever asks for it.
      const taken = await theirs
        .call('daemon_listen', { address: here.url.slice('http://'.length) })
        .catch((error) => error)
      expect(taken.body.code).toBe('address_unavailable')
      expect((await second.listWorkspaces()).workspaces).toHaveLength(1)
      const ran = await first.execWorkspace({ workspaceId, command: 'id -u' })
      expect(ran.stdout).toBe('0\n')
    } finally {
      for (const engine of [mine, theirs]) await engine.stop()
      for (const engine of [mine, theirs]) removeFolder(engine.folder)
      removeUser(user)
    }
  },
  60_000,
)

test('a new token ends what the old one had begun', async () => {
  const engine = await startEngine()
  const at = await listen(engine)
  using pyro = await Pyro.connect(at)
  const { workspaceId } = await pyro.createWorkspace({ environment: 'host' })
  const waiting = failure(pyro.execWorkspace({ workspaceId, command: 'sleep 20' }))
  await expect
    .poll(async () => (await engine.call('workspace_job_list', { workspace_id: workspaceId })).jobs.length)
    .toBe(1)
  const { token } = await engine.call('daemon_token', { rotate: true })
  expect(await waiting).toMatchObject({
    code: 'engine_unreachable',
    hint: expect.stringMatching(/may have been done/),
  })
  expect(await failure(pyro.listWorkspaces())).toMatchObject({ code: 'unauthorized' })
  using again = await Pyro.connect({ url: at.url, token })
  expect((await again.listWorkspaces()).workspaces).toHaveLength(1)
  await engine.stop()
  removeFolder(engine.folder)
}, 40_000)

describe('an address that is none', () => {
  test.each<[string, Partial<Place>, RegExp]>([
    ['no token', { url: 'http://127.0.0.1:1' }, /PYRO_URL is set, but there is no token/],
    ['no URL', { url: 'nothing', token: 'x' }, /it is no URL/],
    ['another protocol', { url: 'ftp://127.0.0.1/', token: 'x' }, /must begin with http/],
    ['a password in it', { url: 'http://me:hunter2@127.0.0.1:1', token: 'x' }, /holds a user name/],
    ['a token in it', { url: 'http://127.0.0.1:1/?token=hunter2', token: 'x' }, /has a query/],
    ['a token that is none', { url: 'http://127.0.0.1:1', token: 'hunter2\nx' }, /holds what no token can/],
  ])('%s', async (_what, given, message) => {
    const me = somebody(given)
    const { code, stdout } = me.pyro('env', 'list', '--json')
    const { error } = JSON.parse(stdout)
    expect([code, error.code, error.message]).toEqual([2, 'invalid_input', expect.stringMatching(message)])
    expect(stdout).not.toContain('hunter2')
    me.leave()
  })

  test('nobody is there: said at once, with what to look at, and no engine is started', async () => {
    const me = somebody({ url: 'http://localhost:1', token: 'secret' })
    for (const args of [
      ['env', 'list'],
      ['daemon', 'status'],
      ['run', 'host', '--', 'true'],
    ]) {
      const { code, stdout, stderr } = me.pyro(...args)
      expect([code, stdout]).toEqual([5, ''])
      expect(stderr).toMatch(/No engine answers at http:\/\/localhost:1: [\s\S]*hint: .*pyro daemon listen/)
      expect(stderr).not.toContain('secret')
    }
    me.leave()
  })

  test('somebody else is there: no answer of theirs is taken for one, and no redirection followed', async () => {
    const paths: string[] = []
    const other: Server = createServer((request, response) => {
      paths.push(request.url!)
      if (request.url === '/away/v1/env_list') response.writeHead(307, { location: '/elsewhere' }).end()
      else response.writeHead(502, { 'content-type': 'text/html' }).end('<h1>Bad gateway</h1>')
    })
    await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve))
    const url = `http://127.0.0.1:${(other.address() as { port: number }).port}`
    expect(await failure(Pyro.connect({ url, token: 'secret' }))).toMatchObject({
      code: 'engine_unreachable',
      message: expect.stringMatching(/no answer of an engine, with HTTP status 502/),
    })
    const me = client({ url: `${url}/away/`, token: 'secret' })
    expect(await failure(me.call('env_list', {}))).toMatchObject({
      message: expect.stringMatching(/status 307/),
    })
    expect(paths).toEqual(['/v1/daemon_status', '/away/v1/env_list'])
    me.close()
    await new Promise((resolve) => other.close(resolve))
  })

  test('a home in the program comes before PYRO_URL, and both at once are refused', async () => {
    expect(
      await failure(Pyro.connect({ home: '/tmp/x', url: 'http://127.0.0.1:1', token: 'x' })),
    ).toMatchObject({
      code: 'invalid_input',
      message: expect.stringMatching(/two engines/),
    })
    vi.stubEnv('PYRO_URL', 'http://127.0.0.1:1')
    const engine = await startEngine()
    using pyro = await Pyro.connect({ home: engine.home, autostart: false })
    expect((await pyro.statusDaemon()).pid).toBe(engine.process.pid)
    vi.unstubAllEnvs()
    await engine.stop()
    removeFolder(engine.folder)
  })
})

test("a client's token is not in the environment of the engine it starts, nor does one show it", async () => {
  const folder = newFolder()
  const env = engineEnv(folder, { PYRO_TOKEN: 'pyro_of_another_engine' })
  const pyro = (...args: string[]) =>
    spawnSync(join(ROOT, 'bin/pyro'), args, { env, encoding: 'utf8', timeout: 60_000 })
  const on = pyro('daemon', 'listen', '127.0.0.1:0')
  expect(on.stderr).toMatch(/PYRO_URL=http:\/\/127\.0\.0\.1:\d+ PYRO_TOKEN="\$\(pyro daemon token\)"/)
  const token = pyro('daemon', 'token').stdout
  expect(token).toBe(readFileSync(join(folder, 'home/http-token'), 'utf8'))
  const status = pyro('daemon', 'status', '--json').stdout
  const { pid } = JSON.parse(status)
  const shown = ['environ', 'cmdline'].map((name) => readFileSync(`/proc/${pid}/${name}`, 'latin1')).join()
  expect(shown).toContain('PYRO_HOME')
  for (const text of [
    shown,
    status,
    on.stdout,
    on.stderr,
    readFileSync(join(folder, 'home/engine.log'), 'utf8'),
  ]) {
    expect(text).not.toContain(token.trim())
    expect(text).not.toContain('pyro_of_another_engine')
  }
  expect(existsSync(`/proc/${pid}`)).toBe(true)
  pyro('daemon', 'stop', '--delete-workspaces')
  removeFolder(folder)
}, 60_000)
