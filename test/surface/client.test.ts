// The SDK's client against a server it did not start: answers, errors, cancelling, progress, an engine that goes away.
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { PyroError } from '../../src/contract/errors.ts'
import { Pyro } from '../../src/surface/sdk/index.ts'
import { client } from '../../src/surface/sdk/client.ts'
import { serve } from '../../src/surface/http/serve.ts'
import { type TestServer, testServer, until } from './table.ts'

/** The client looks for its engine where its PYRO_HOME says, so that is where the server is put. */
async function connected(
  more: Parameters<typeof testServer>[0] = {},
): Promise<{ at: TestServer; pyro: Pyro; socket: string } & AsyncDisposable> {
  const at = await testServer(more)
  const home = join(at.folder, 'home')
  const socket = client({ home }).paths.socket
  mkdirSync(join(socket, '..'), { recursive: true })
  const second = await serve({ handlers: at.handlers, socket, version: '9.9.9' })
  const pyro = await Pyro.connect({ home, autostart: false })
  return {
    at,
    pyro,
    socket,
    async [Symbol.asyncDispose]() {
      pyro.close()
      for (const { finish } of at.pending) finish()
      await second.close()
      await at[Symbol.asyncDispose]()
      rmSync(join(socket, '..'), { recursive: true, force: true })
    },
  }
}
const failure = (work: Promise<unknown>): Promise<PyroError> =>
  work.then(
    (value) => Promise.reject(new Error(`did not fail: ${JSON.stringify(value)}`)),
    (error) => error,
  )

const NOTHING = { read_only: [], copied: [], made: [], masked: [], cache_path: null }
const UNBUILT = {
  made_at: null,
  checksum: null,
  entries: null,
  bytes: null,
  image: null,
  snapshot: [],
  packages: [],
  used_by: [],
  verified: false,
}
const WHOLE = {
  ...UNBUILT,
  description: 'x',
  backends: ['oci'],
  state: 'warm' as const,
  reason: null,
  ...NOTHING,
}

test('an answer comes in camelCase, an error with its code, hint and whether to retry', async () => {
  await using on = await connected()
  expect(await on.pyro.listEnvironments()).toMatchObject({
    environments: [{ name: 'host', backends: ['oci'] }],
  })
  const error = await failure(on.pyro.statusWorkspace({ workspaceId: 'x' }))
  expect(error).toBeInstanceOf(PyroError)
  expect(error).toMatchObject({
    code: 'workspace_not_found',
    hint: 'See pyro workspace list.',
    retryable: false,
  })
})

test('input that is wrong is refused by the engine, which says that it is of another version', async () => {
  await using on = await connected()
  const error = await failure(on.pyro.statusWorkspace({ workspaceId: 5 } as never))
  expect(error.code).toBe('invalid_input')
  expect(error.message).toMatch(/^workspace_id: /)
  expect(error.hint).toMatch(/engine is version 9\.9\.9.*pyro daemon stop/)
})

test('a call is cancelled by its signal, and the engine hears of it', async () => {
  await using on = await connected()
  const leaving = new AbortController()
  const failing = failure(on.pyro.doctor({}, { signal: leaving.signal }))
  await until(() => on.at.pending.length === 1)
  leaving.abort()
  expect((await failing).code).toBe('cancelled')
  await until(() => on.at.pending[0]!.context.signal.aborted)
})

test('a call whose signal is aborted already is not made', async () => {
  await using on = await connected()
  expect((await failure(on.pyro.doctor({}, { signal: AbortSignal.abort() }))).code).toBe('cancelled')
  expect(on.at.pending).toEqual([])
})

test('progress comes while the call is under way', async () => {
  await using on = await connected()
  const seen: unknown[] = []
  const answering = on.pyro.doctor({}, { onProgress: (progress) => seen.push(progress) })
  await until(() => seen.length === 1)
  on.at.pending[0]!.context.progress({ kind: 'output', stream: 'stdout', text: 'grüße\n'.repeat(100_000) })
  on.at.pending[0]!.finish()
  expect(await answering).toEqual({ ok: true, environment: null, checks: [] })
  expect(seen).toHaveLength(2)
  expect(seen[0]).toEqual({ kind: 'step', text: 'looking' })
})

test('relative paths of this machine are meant from the working directory', async () => {
  let given: string | undefined
  await using on = await connected({
    demo: async ({ seed_path }) => {
      given = seed_path
      return { ok: true, workspace_id: 'x', exit_code: 0, steps: [] }
    },
  })
  await on.pyro.demo({ seedPath: 'some/where' })
  expect(given).toBe(join(process.cwd(), 'some/where'))
})

test('many calls at once are each answered with their own', async () => {
  await using on = await connected({
    env_inspect: async ({ environment }) => ({ ...WHOLE, name: environment }),
  })
  const names = Array.from({ length: 200 }, (_, i) => `e${i}`)
  const answers = await Promise.all(names.map((environment) => on.pyro.inspectEnvironment({ environment })))
  expect(answers.map(({ name }) => name)).toEqual(names)
})

test('without an engine and without leave to start one, a call says so', async () => {
  const home = join('/tmp', `pyro-no-engine-${process.pid}`)
  expect(await failure(Pyro.connect({ home, autostart: false }))).toMatchObject({
    code: 'engine_unreachable',
    retryable: true,
  })
})
