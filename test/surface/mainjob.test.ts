/** The main job, as a person or a program does it: by the command line, by the SDK example, by an MCP client. */
import { spawnSync } from 'node:child_process'
import { chownSync, existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { engineEnv, newFolder, removeFolder, ROOT } from '../support/engine.ts'
import { mountsBelow, processesNaming } from '../support/leaks.ts'
import { addUser, checkoutFor, isRoot, removeUser, type User } from '../support/users.ts'

function mainJob(name: string, makeUser?: () => User): void {
  describe(name, () => {
    let user: User | undefined
    let folder: string
    let checkout = ROOT
    let project: string
    let env: NodeJS.ProcessEnv

    beforeAll(() => {
      user = makeUser?.()
      folder = newFolder(user)
      if (user) checkout = checkoutFor(user)
      project = join(folder, 'project')
      mkdirSync(project)
      writeFileSync(join(project, 'sum.py'), 'print(sum(range(10)))\n')
      if (user) for (const path of [project, join(project, 'sum.py')]) chownSync(path, user.uid, user.gid)
      const node = process.execPath.replace(ROOT, checkout)
      env = engineEnv(folder, { PATH: `${dirname(node)}:${process.env['PATH']}`, TMPDIR: folder }, user)
    })
    afterAll(() => {
      try {
        run('bin/pyro', ['daemon', 'stop', '--delete-workspaces'])
        expect(processesNaming(folder)).toEqual([])
        expect(mountsBelow(folder)).toEqual([])
        expect(readdirSync(join(folder, 'home/workspaces'))).toEqual([])
        removeFolder(folder)
      } finally {
        if (user) removeUser(user)
      }
    })

    function run(program: string, args: string[]) {
      const who = user ? { uid: user.uid, gid: user.gid } : {}
      const path = program.includes('/') ? join(checkout, program) : program
      const done = spawnSync(path, args, { cwd: project, env, encoding: 'utf8', timeout: 60_000, ...who })
      return { code: done.status, stdout: done.stdout, stderr: done.stderr }
    }
    const pyro = (...args: string[]) => run('bin/pyro', args)

    test('command line: create, exec, export, delete', () => {
      const made = pyro('workspace', 'create', 'host', '--seed-path', '.', '--name', 'job', '--id-only')
      expect(made).toMatchObject({ code: 0, stdout: expect.stringMatching(/^ws-[0-9a-z]{10}\n$/) })
      const ran = pyro(
        'workspace',
        'exec',
        'job',
        '--',
        'sh',
        '-c',
        'python3 sum.py | tee out.txt; echo note >&2; exit 3',
      )
      expect(ran).toMatchObject({ code: 3, stdout: '45\n' })
      expect(ran.stderr).toMatch(/^note$/m)
      expect(ran.stderr).toMatch(/\[workspace-exec\] workspace_id=ws-.* exit_code=3/)
      const out = join(folder, 'run/out.txt')
      expect(pyro('workspace', 'export', 'job', 'out.txt', '--output', out)).toMatchObject({ code: 0 })
      expect(readFileSync(out, 'utf8')).toBe('45\n')
      expect(pyro('workspace', 'export', 'job', 'out.txt', '--output', out, '--json')).toMatchObject({
        code: 4,
      })
      const gone = pyro('workspace', 'delete', 'job', '--json')
      expect(JSON.parse(gone.stdout)).toMatchObject({
        deleted: true,
        changes: { added: 1 },
        never_exported: { count: 0 },
      })
      expect(existsSync(join(project, 'out.txt'))).toBe(false)
    })
    test('command line: run throws the workspace away', () => {
      expect(pyro('run', 'host', '--seed-path', '.', '--', 'python3', 'sum.py')).toMatchObject({
        code: 0,
        stdout: '45\n',
      })
      expect(JSON.parse(pyro('workspace', 'list', '--json').stdout)).toEqual({ workspaces: [] })
    })
    test('the example of the SDK', () => {
      const node = process.execPath.replace(ROOT, checkout)
      const done = run(node.replace(`${checkout}/`, ''), [join(checkout, 'examples/quickstart.ts')])
      expect(done).toMatchObject({ code: 0, stderr: '' })
      expect(done.stdout).toMatch(/ws-[0-9a-z]{10}/)
      expect(JSON.parse(pyro('workspace', 'list', '--json').stdout)).toEqual({ workspaces: [] })
    })
    test("the MCP inspector's command line", () => {
      const inspector = (method: string, ...args: string[]) => {
        // A host gives a server no more of its environment than it was told to.
        const given = ['PYRO_HOME', 'PYRO_CACHE', 'PYRO_SHARED', 'XDG_RUNTIME_DIR'].flatMap((key) => [
          '-e',
          `${key}=${env[key]}`,
        ])
        const all = [
          '--cli',
          ...given,
          join(checkout, 'bin/pyro'),
          'mcp',
          'serve',
          '--method',
          method,
          ...args,
        ]
        const done = run('node_modules/.bin/mcp-inspector', all)
        expect(done.code, done.stderr).toBe(0)
        return JSON.parse(done.stdout)
      }
      const call = (tool: string, args: Record<string, string>) =>
        inspector(
          'tools/call',
          '--tool-name',
          tool,
          ...Object.entries(args).flatMap(([key, value]) => ['--tool-arg', `${key}=${value}`]),
        )
      const tools = inspector('tools/list').tools.map(({ name }: { name: string }) => name)
      expect(tools).toEqual(
        expect.arrayContaining([
          'vm_run',
          'workspace_create',
          'workspace_exec',
          'workspace_export',
          'workspace_delete',
        ]),
      )
      const workspace_id = call('workspace_create', { environment: 'host', seed_path: project })
        .structuredContent.workspace_id
      const ran = call('workspace_exec', { workspace_id, command: 'python3 sum.py > answer' })
      expect(ran.structuredContent).toMatchObject({ exit_code: 0, state: 'exited' })
      const output_path = join(folder, 'run/answer')
      call('workspace_export', { workspace_id, path: 'answer', output_path })
      expect(readFileSync(output_path, 'utf8')).toBe('45\n')
      expect(call('workspace_delete', { workspace_id }).structuredContent).toMatchObject({ deleted: true })
    })
  })
}

mainJob(isRoot ? 'as root' : 'as the present user')
if (isRoot) mainJob('as an ordinary user', () => addUser(`pyroface${process.pid}`))
else test.skip('as an ordinary user beside root: needs root to make one', () => {})

test('the example is a program of 15 lines', () => {
  const lines = readFileSync(join(ROOT, 'examples/quickstart.ts'), 'utf8').trimEnd().split('\n')
  expect(lines.length).toBeLessThanOrEqual(15)
})
