// The types that the package publishes: enough for a program as it is usually compiled, and those of the contract.
import { spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { beforeAll, describe, expect, test } from 'vitest'
import { pack } from '../support/packed.ts'
import { ROOT } from '../support/users.ts'

let app: string
beforeAll(() => {
  const { folder } = pack()
  app = mkdtempSync(join(tmpdir(), 'app-'))
  mkdirSync(join(app, 'node_modules/@types'), { recursive: true })
  symlinkSync(folder, join(app, 'node_modules/pyro-mcp'))
  // The one thing that a program for Node has besides.
  for (const name of ['@types/node', 'undici-types'])
    symlinkSync(join(ROOT, 'node_modules', name), join(app, 'node_modules', name))
  writeFileSync(join(app, 'package.json'), JSON.stringify({ type: 'module' }))
}, 300_000)

function compile(source: string, ...flags: string[]): string {
  writeFileSync(join(app, 'program.ts'), source)
  const tsc = join(ROOT, 'node_modules/typescript/bin/tsc')
  const args = [tsc, '--noEmit', '--strict', '--target', 'es2024', '--types', 'node', ...flags, 'program.ts']
  return spawnSync(process.execPath, args, { cwd: app, encoding: 'utf8' }).stdout
}

const PROGRAM = `
import { Pyro, PyroError, type Job, type Workspace } from 'pyro-mcp'
const pyro = await Pyro.connect()
const workspace: Workspace = await pyro.createWorkspace({ environment: 'host', labels: { team_name: 'core' } })
const job: Job = await pyro.exec(workspace.workspaceId, ['npm', 'test'], { timeoutSeconds: 60 })
for await (const { stream, data } of job.output()) if (stream === 'stdout') process.stdout.write(data)
const { exitCode }: { exitCode: number | null } = await job.result
const isolation: 'container' | 'machine' = workspace.isolation
const { checks } = await pyro.doctor()
const names: string[] = checks.map(({ name }) => name)
try {
  await pyro.deleteWorkspace({ workspaceId: workspace.workspaceId })
} catch (error) {
  if (error instanceof PyroError && error.code === 'workspace_not_found') console.log(error.hint ?? exitCode, isolation, names)
}
`

describe('a program that uses the SDK', () => {
  test.each([
    ['node16', 'node16'],
    ['nodenext', 'nodenext'],
    ['preserve', 'bundler'],
  ])('compiles with module %s and resolution %s', (module, resolution) => {
    const flags = ['--module', module, '--moduleResolution', resolution]
    expect(compile(PROGRAM, ...flags)).toBe('')
    expect(compile(PROGRAM, ...flags, '--exactOptionalPropertyTypes')).toBe('')
  })

  test('is told of a wrong field, a wrong code and a wrong method', () => {
    const wrong = `
import { Pyro, PyroError } from 'pyro-mcp'
const pyro = await Pyro.connect()
await pyro.createWorkspace({ environment: 'host', seed_path: '.' })
await pyro.deleteWorkspace({})
new PyroError('no_such_code', '')
await pyro.makeWorkspace()
`
    const said = compile(wrong, '--module', 'nodenext')
    expect([...said.matchAll(/program\.ts\((\d+),/g)].map(([, line]) => Number(line))).toEqual([4, 5, 6, 7])
  })
})

describe('each operation', () => {
  test('has the same types as in the contract', () => {
    const check = `
import type * as Ours from '${join(ROOT, 'src/contract/table.ts')}'
import type * as Published from '${join(app, 'node_modules/pyro-mcp/dist/types/contract/table.js')}'
type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : never) : never
type Names = Same<Ours.OperationName, Published.OperationName>
type Inputs = { [N in Ours.OperationName]: Same<Ours.InputOf<N>, Published.InputOf<N>> }
type Outputs = { [N in Ours.OperationName]: Same<Ours.OutputOf<N>, Published.OutputOf<N>> }
type Methods = { [N in Ours.OperationName]: Same<Ours.Operations[N]['sdk'], Published.Operations[N]['sdk']> }
type AllOf<T> = { [N in keyof T]: true } extends T ? true : never
export const all: [Names, AllOf<Inputs>, AllOf<Outputs>, AllOf<Methods>, Same<Ours.Progress, Published.Progress>] = [true, true, true, true, true]
`
    const file = join(app, 'check.ts')
    writeFileSync(file, check)
    const tsc = join(ROOT, 'node_modules/typescript/bin/tsc')
    const config = join(app, 'tsconfig.check.json')
    writeFileSync(
      config,
      JSON.stringify({
        extends: join(ROOT, 'tsconfig.json'),
        compilerOptions: { noEmit: true, typeRoots: [join(ROOT, 'node_modules/@types')] },
        files: [file],
        include: [],
      }),
    )
    const { stdout } = spawnSync(process.execPath, [tsc, '-p', config], { encoding: 'utf8' })
    expect(stdout).toBe('')
  })
})
