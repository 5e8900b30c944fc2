// The MCP face: what it announces to hosts of either age, how it answers, and that errors keep their codes.
import { spawn } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { Client } from '@modelcontextprotocol/client'
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { Operation } from '../../src/contract/operation.ts'
import { OPERATIONS } from '../../src/contract/table.ts'
import { textOf } from '../../src/surface/mcp/text.ts'
import { engineEnv, newFolder, removeFolder, ROOT } from '../support/engine.ts'
import { pyro } from './faces.ts'

const folder = newFolder()
const env = engineEnv(folder)
const tools = Object.values(OPERATIONS as Record<string, Operation>).filter(({ tool }) => tool !== null)

beforeAll(() => {
  mkdirSync(join(folder, 'project'))
  writeFileSync(join(folder, 'project/a.txt'), 'hello\n')
})
afterAll(async () => {
  await pyro(env, ['daemon', 'stop', '--delete-workspaces'])
  removeFolder(folder)
}, 60_000)

interface Result {
  isError?: boolean
  content: { type: string; text: string }[]
  structuredContent?: Record<string, unknown>
}

describe.each([
  ['2025-11-25', 'legacy'],
  ['2026-07-28', { pin: '2026-07-28' }],
] as const)('a host of %s', (version, mode) => {
  let client: Client
  const call = async (name: string, args: Record<string, unknown> = {}, options = {}) =>
    (await client.callTool({ name, arguments: args }, options)) as unknown as Result

  beforeAll(async () => {
    client = new Client({ name: 'test', version: '1' }, { versionNegotiation: { mode } })
    const command = join(ROOT, 'bin/pyro')
    await client.connect(
      new StdioClientTransport({
        command,
        args: ['mcp', 'serve'],
        env: env as Record<string, string>,
        cwd: folder,
      }),
    )
  }, 30_000)
  afterAll(() => client.close())

  test('is served in its own way, with instructions that fit', () => {
    expect(client.getNegotiatedProtocolVersion()).toBe(version)
    const instructions = client.getInstructions()!
    expect(Buffer.byteLength(instructions)).toBeLessThan(2048)
    for (const word of [
      'workspace_create',
      'seed_path',
      'workspace_exec',
      'workspace_job_read',
      'workspace_export',
      'workspace_delete',
    ]) {
      expect(instructions).toContain(word)
    }
  })

  test('finds every tool of the contract, with schemas and what it does to the world', async () => {
    const listed = (await client.listTools()).tools
    expect(listed.map(({ name }) => name)).toEqual(tools.map(({ tool }) => tool))
    for (const { tool, effects, summary } of tools) {
      const { inputSchema, outputSchema, annotations, description } = listed.find(
        ({ name }) => name === tool,
      )!
      expect(inputSchema.type).toBe('object')
      expect(outputSchema).toMatchObject({ type: 'object' })
      expect(annotations).toMatchObject({
        readOnlyHint: effects.readOnly,
        destructiveHint: effects.destructive,
        idempotentHint: effects.idempotent,
      })
      expect(description!.startsWith(summary)).toBe(true)
      expect(description!.length).toBeLessThan(2048)
    }
    const exec = listed.find(({ name }) => name === 'workspace_exec')!.inputSchema.properties as Record<
      string,
      { default?: unknown }
    >
    expect(Object.keys(exec)).not.toContain('attach')
    expect(exec['max_output_bytes']!.default).toBe(16_384)
  })

  test('does the main job, with relative paths meant from where the server was started', async () => {
    const name = `mcp-${version}`
    const created = await call('workspace_create', { environment: 'host', seed_path: 'project', name })
    expect(created.structuredContent).toMatchObject({ name, state: 'running', workspace_seed: { files: 1 } })
    expect(JSON.parse(created.content[0]!.text)).toEqual(created.structuredContent)
    const ran = await call('workspace_exec', {
      workspace_id: name,
      command: 'tee b.txt < a.txt; echo oops >&2; exit 3',
    })
    expect(ran.isError).toBeFalsy()
    expect(ran.structuredContent).toMatchObject({ exit_code: 3, stdout: 'hello\n', stderr: 'oops\n' })
    expect(ran.content[0]!.text).toMatch(
      /^job_id=job-1 state=exited exit_code=3 .*\nstdout:\nhello\n\nstderr:\noops\n$/,
    )
    const long = await call('workspace_exec', {
      workspace_id: name,
      command: 'echo first; sleep 1; echo second',
      wait_ms: 200,
    })
    expect(long.structuredContent).toMatchObject({ state: 'running', stdout: 'first\n' })
    expect(long.content[0]!.text).toContain('goes on at stdout_cursor=6')
    const rest = await call('workspace_job_read', {
      workspace_id: name,
      job_id: 'job-2',
      stdout_cursor: 6,
      wait_ms: 5000,
    })
    expect((rest.structuredContent!['stdout'] as { data: string }).data).toBe('second\n')
    const output = `out-${version}.txt`
    expect(
      (await call('workspace_export', { workspace_id: name, path: 'b.txt', output_path: output }))
        .structuredContent,
    ).toMatchObject({
      output_path: join(folder, output),
      bytes: 6,
    })
    expect((await call('workspace_delete', { workspace_id: name })).structuredContent).toMatchObject({
      deleted: true,
    })
  }, 30_000)

  test('is told what went wrong, with a code', async () => {
    const errorOf = async (name: string, args: Record<string, unknown>) => {
      const { isError, content, structuredContent } = await call(name, args)
      expect([isError, structuredContent]).toEqual([true, undefined])
      return JSON.parse(content[0]!.text).error
    }
    expect(await errorOf('workspace_status', { workspace_id: 'nobody' })).toMatchObject({
      code: 'workspace_not_found',
      retryable: false,
      hint: expect.any(String),
    })
    expect(await errorOf('workspace_status', {})).toMatchObject({
      code: 'invalid_input',
      message: expect.stringMatching(/^workspace_id is missing/),
    })
    expect(await errorOf('workspace_status', { workspace_id: 'x', extra: 1 })).toMatchObject({
      message: expect.stringMatching(/^Unknown field "extra"/),
    })
    await expect(call('no_such_tool')).rejects.toThrow(/no_such_tool/)
  })

  test('gives up a call, and the engine goes on', async () => {
    const leaving = new AbortController()
    const calling = call('vm_run', { environment: 'host', command: 'sleep 30' }, { signal: leaving.signal })
    setTimeout(() => leaving.abort(), 1000)
    await expect(calling).rejects.toThrow()
    for (let i = 0; i < 100; i++) {
      const { workspaces } = (await call('workspace_list')).structuredContent as { workspaces: unknown[] }
      if (workspaces.length === 0) return
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
    throw new Error('the workspace of the run is still there')
  }, 30_000)
})

test('the server ends when its host does, and writes nothing that is no message', async () => {
  const child = spawn(join(ROOT, 'bin/pyro'), ['mcp', 'serve'], { env })
  let said = ''
  child.stdout.on('data', (text) => (said += text))
  child.stdin.write('not json\n{"jsonrpc":"2.0","id":1,"method":"ping"}\n')
  setTimeout(() => child.stdin.end(), 1500)
  const code = await new Promise((resolve) => child.on('close', resolve))
  expect(code).toBe(0)
  for (const line of said.trim().split('\n')) if (line !== '') expect(JSON.parse(line).jsonrpc).toBe('2.0')
}, 30_000)

test('text is bounded, and keeps the beginning and the end', () => {
  const output = {
    job_id: 'job-1',
    exit_code: 0,
    stdout: `begin${'x'.repeat(100_000)}end`,
    stderr: 'y'.repeat(100_000),
    stdout_stream: { cursor: 9, dropped: 3, eof: true },
  }
  const text = textOf({ ...output, stderr_stream: { cursor: 5, dropped: 0, eof: false } })
  expect(text.length).toBeLessThan(20_500)
  expect(text).toMatch(
    /stdout \(3 bytes before this are no longer kept\):\nbegin[\s\S]*characters left out[\s\S]*xend\nstderr \(goes on at stderr_cursor=5\)/,
  )
})
