// MCP on the engine's own address: hosts of both ages, what they cancel, an engine that comes again, and who is kept out.
import { spawnSync } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Client } from '@modelcontextprotocol/client'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newFolder, removeFolder, ROOT, startEngine, type TestEngine } from '../support/engine.ts'
import { ERAS, mcpHttpFace } from './faces.ts'
import { asking, raw } from './network.ts'

const folder = newFolder()
let engine: TestEngine
let mcpUrl: string
let token: string
beforeAll(async () => {
  mkdirSync(join(folder, 'project'))
  writeFileSync(join(folder, 'project/a.txt'), 'hello\n')
  engine = await startEngine({ folder })
  mcpUrl = (await engine.call('daemon_listen', { address: '127.0.0.1:0' })).mcp_url!
  token = (await engine.call('daemon_token', {})).token
}, 30_000)
afterAll(async () => {
  await engine.stop()
  removeFolder(folder)
})

interface Result {
  isError?: boolean
  content: { text: string }[]
  structuredContent?: Record<string, unknown>
}
const workspaces = async () => (await engine.call('workspace_list', {})).workspaces

describe.each([
  ['2025-11-25', 2025],
  ['2026-07-28', 2026],
] as const)('a host of %s', (version, era) => {
  let client: Client
  const call = async (name: string, args: Record<string, unknown> = {}, options = {}) =>
    (await client.callTool({ name, arguments: args }, options)) as unknown as Result
  beforeAll(async () => {
    client = (await mcpHttpFace(era, { mcpUrl, token })).client
  }, 30_000)
  afterAll(() => client.close())

  test('is served in its own way, with the tools and the instructions of stdio', async () => {
    expect(client.getNegotiatedProtocolVersion()).toBe(version)
    expect(client.getInstructions()).toContain('workspace_create')
    const { tools } = await client.listTools()
    expect(tools.map(({ name }) => name)).toContain('workspace_exec')
  })

  test('does the main job, with paths of the machine of the engine', async () => {
    const name = `job-${era}`
    const seed_path = join(folder, 'project')
    const created = await call('workspace_create', { environment: 'host', seed_path, name })
    expect(created.structuredContent).toMatchObject({ name, workspace_seed: { files: 1 } })
    const ran = await call('workspace_exec', { workspace_id: name, command: 'cat a.txt; exit 3' })
    expect(ran.structuredContent).toMatchObject({ exit_code: 3, stdout: 'hello\n' })
    const relative = await call('workspace_export', {
      workspace_id: name,
      path: 'a.txt',
      output_path: 'out.txt',
    })
    expect(JSON.parse(relative.content[0]!.text).error).toMatchObject({
      code: 'invalid_input',
      message: expect.stringMatching(/^output_path: must be an absolute path/),
    })
    const output_path = join(folder, `out-${era}`)
    expect(
      (await call('workspace_export', { workspace_id: name, path: 'a.txt', output_path })).isError,
    ).toBeFalsy()
    expect((await call('workspace_delete', { workspace_id: name })).structuredContent).toMatchObject({
      deleted: true,
    })
  }, 30_000)

  test('hears of what a long call does', async () => {
    const said: string[] = []
    const onprogress = ({ message }: { message?: string }) => said.push(message ?? '')
    const done = await call('doctor', {}, { onprogress })
    expect(done.structuredContent).toMatchObject({ ok: true })
    expect(said.length).toBeGreaterThan(3)
    for (const message of said) expect(message).toMatch(/\S/)
  }, 30_000)

  test('gives up a call: its workspace goes, and no other host is touched', async () => {
    const other = (await mcpHttpFace(era, { mcpUrl, token })).client
    const leaving = new AbortController()
    // Both hosts count their requests from the same number.
    const options = { environment: 'host', command: 'sleep 6; echo done' }
    const given = call('vm_run', options, { signal: leaving.signal })
    given.catch(() => {})
    const kept = other.callTool({ name: 'vm_run', arguments: options }) as unknown as Promise<Result>
    await expect
      .poll(async () => (await workspaces()).filter(({ running_job_count: n }) => n > 0).length, {
        timeout: 15_000,
      })
      .toBe(2)
    leaving.abort()
    await expect(given).rejects.toThrow()
    await expect.poll(async () => (await workspaces()).length, { timeout: 4000 }).toBe(1)
    expect((await kept).structuredContent).toMatchObject({ exit_code: 0, stdout: 'done\n' })
    await other.close()
  }, 40_000)

  test('goes on after the engine was killed and came again', async () => {
    await engine.kill()
    engine = await startEngine({ folder })
    await expect.poll(async () => (await engine.call('daemon_status', {})).http.listening).toBe(true)
    expect(
      (await call('vm_run', { environment: 'host', command: 'echo again' })).structuredContent,
    ).toMatchObject({
      stdout: 'again\n',
    })
  }, 30_000)

  test('needs the token, and is turned away with another', async () => {
    await expect(mcpHttpFace(era, { mcpUrl, token: `${token}x` })).rejects.toThrow()
  })
})

test('hosts of every age are known', () => {
  expect(Object.keys(ERAS)).toEqual(['2025', '2026'])
})

describe('raw', () => {
  const port = () => Number(new URL(mcpUrl).port)
  const ask = (headers: Parameters<typeof asking>[1], body: string, line = 'POST /mcp HTTP/1.1') =>
    raw(
      port(),
      asking(
        token,
        {
          accept: 'application/json, text/event-stream',
          'content-length': String(Buffer.byteLength(body)),
          ...headers,
        },
        line,
      ).replace(/\{\}$/, body),
    )
  const ping = '{"jsonrpc":"2.0","id":1,"method":"ping"}'

  test.each<[string, Parameters<typeof asking>[1], number]>([
    ['without a token', { authorization: null }, 401],
    ['from a page', { origin: 'https://evil.example' }, 403],
    ['by another name', { host: 'evil.example' }, 403],
    ['as something else than JSON', { 'content-type': 'text/plain' }, 400],
  ])('%s nothing is answered', async (_what, headers, status) => {
    const answer = await ask(headers, ping)
    expect([answer.status, typeof answer.error?.code]).toEqual([status, 'string'])
  })

  test.each([
    '',
    '{',
    '[]',
    'null',
    '"x"',
    '{"jsonrpc":"2.0"}',
    '{"jsonrpc":"2.0","id":{},"method":"ping"}',
    '\xff\xfe',
    '[[[[[[[[[[',
  ])('no message: %j', async (body) => {
    const answer = await ask({}, body)
    expect(answer.status).toBeGreaterThanOrEqual(200)
    expect(answer.status).toBeLessThan(500)
    expect((await ask({}, ping)).status).toBe(200)
  })

  test('a host that only looks, or ends a session, is told that there is none', async () => {
    for (const method of ['GET', 'DELETE'])
      expect((await ask({ 'content-length': null }, '', `${method} /mcp HTTP/1.1`)).status).toBe(405)
  })

  test('what is cancelled must be under way in the same session', async () => {
    const cancel = '{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":7}}'
    for (const session of [null, 'somebody', 'x'.repeat(5000)])
      expect((await ask({ 'mcp-session-id': session }, cancel)).status).toBe(202)
  })

  test('a batch is answered whole, or refused, and the engine goes on', async () => {
    const many = Array.from({ length: 500 }, (_, i) => ping.replace('1,', `${i},`)).join(',')
    const answer = await ask({}, `[${many}]`)
    if (answer.status === 200) expect(answer.body.match(/"result":\{\}/g)).toHaveLength(500)
    else expect(answer.status).toBe(400)
    expect((await ask({}, ping)).status).toBe(200)
  })
})

test("the inspector's command line, which is nobody's of ours", () => {
  const { status, stdout, stderr } = spawnSync(
    join(ROOT, 'node_modules/.bin/mcp-inspector'),
    [
      '--cli',
      mcpUrl,
      '--transport',
      'http',
      '--header',
      `Authorization: Bearer ${token}`,
      '--method',
      'tools/list',
    ],
    { encoding: 'utf8', timeout: 60_000, cwd: folder },
  )
  expect(status, stderr).toBe(0)
  expect(JSON.parse(stdout).tools.map(({ name }: { name: string }) => name)).toContain('workspace_create')
}, 70_000)
