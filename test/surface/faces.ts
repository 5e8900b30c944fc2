/** The faces, each by every way there is, behind one signature: an operation and its input in, its output or its error body out. */
import { spawn } from 'node:child_process'
import { mkdirSync, writeFileSync } from 'node:fs'
import { request } from 'node:http'
import { join } from 'node:path'
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio'
import { afterAll, beforeAll } from 'vitest'
import { describe as descriptions } from '../../src/contract/describe.ts'
import type { Operation } from '../../src/contract/operation.ts'
import { OPERATIONS, type OperationName } from '../../src/contract/table.ts'
import { PyroError, Pyro } from '../../src/surface/sdk/index.ts'
import { METHODS, camelKeys, snakeKeys } from '../../src/surface/sdk/names.ts'
import { resolvePaths } from '../../src/wiring/paths.ts'
import { engineEnv, newFolder, removeFolder, ROOT } from '../support/engine.ts'

type Fields = Record<string, unknown>
export interface Face {
  name: 'http' | 'sdk' | 'remote' | 'cli' | 'mcp' | 'mcp-http-2025' | 'mcp-http-2026'
  offers: (operation: OperationName) => boolean
  ask: (operation: OperationName, input: Fields) => Promise<Fields>
  close: () => Promise<void>
}

const described = new Map(descriptions().map((operation) => [operation.name, operation]))

export function httpFace(env: NodeJS.ProcessEnv): Face {
  const { socket } = resolvePaths(env)
  return {
    name: 'http',
    offers: () => true,
    close: async () => {},
    ask: (operation, input) =>
      new Promise((resolve, reject) => {
        const headers = { 'content-type': 'application/json' }
        const sent = request(
          { socketPath: socket, path: `/v1/${operation}`, method: 'POST', headers },
          (answer) => {
            let text = ''
            answer.setEncoding('utf8').on('data', (part) => (text += part))
            answer.on('end', () => resolve(JSON.parse(text)))
            answer.on('error', reject)
          },
        )
        sent.on('error', reject)
        sent.end(JSON.stringify(input))
      }),
  }
}

/** Without an address the client takes its PYRO_HOME and runtime folder from this process, so they must be the engine's. */
export async function sdkFace(at?: { url: string; token: string }): Promise<Face & { pyro: Pyro }> {
  const pyro = await Pyro.connect(at)
  const methods = Object.fromEntries(
    Object.entries(METHODS).map(([method, operation]) => [operation, method]),
  )
  const caller = pyro as unknown as Record<string, (input: unknown) => Promise<unknown>>
  return {
    name: at === undefined ? 'sdk' : 'remote',
    pyro,
    offers: (operation) => at === undefined || (OPERATIONS[operation] as Operation).localOnly !== true,
    close: async () => pyro.close(),
    ask: async (operation, input) => {
      try {
        return snakeKeys(await caller[methods[operation]!]!(camelKeys(input))) as Fields
      } catch (error) {
        if (error instanceof PyroError) return { error: error.toBody() }
        throw error
      }
    },
  }
}

export function cliFace(env: NodeJS.ProcessEnv): Face {
  return {
    name: 'cli',
    offers: () => true,
    close: async () => {},
    ask: async (operation, input) => {
      const { stdout } = await pyro(env, [...words(operation, input), '--json'], restOf(operation, input))
      return JSON.parse(stdout)
    },
  }
}

export async function mcpFace(env: NodeJS.ProcessEnv): Promise<Face & { client: Client }> {
  const client = new Client({ name: 'test', version: '1' })
  const [command, args] = [join(ROOT, 'bin/pyro'), ['mcp', 'serve']]
  await client.connect(
    new StdioClientTransport({ command, args, env: env as Record<string, string>, cwd: ROOT }),
  )
  return toolFace('mcp', client)
}

export const ERAS = { 2025: 'legacy', 2026: { pin: '2026-07-28' } } as const

/** What the engine itself speaks on its address, to a host of that age. */
export async function mcpHttpFace(
  era: keyof typeof ERAS,
  at: { mcpUrl: string; token: string },
): Promise<Face & { client: Client }> {
  const client = new Client({ name: 'test', version: '1' }, { versionNegotiation: { mode: ERAS[era] } })
  const requestInit = { headers: { authorization: `Bearer ${at.token}` } }
  await client.connect(new StreamableHTTPClientTransport(new URL(at.mcpUrl), { requestInit }))
  return toolFace(`mcp-http-${era}`, client)
}

function toolFace(name: Face['name'], client: Client): Face & { client: Client } {
  return {
    name,
    client,
    offers: (operation) => described.get(operation)!.tool !== null,
    close: () => client.close(),
    ask: async (operation, input) => {
      const result = await client.callTool({ name: described.get(operation)!.tool!, arguments: input })
      if (result.isError) return JSON.parse((result.content as { text: string }[])[0]!.text)
      return result.structuredContent as Fields
    },
  }
}

export interface Done {
  code: number | null
  stdout: string
  stderr: string
}
export function pyro(
  env: NodeJS.ProcessEnv,
  args: string[],
  rest: string[] = [],
  input?: string,
): Promise<Done> {
  const child = spawn(join(ROOT, 'bin/pyro'), [...args, ...(rest.length > 0 ? ['--', ...rest] : [])], {
    env,
    cwd: ROOT,
  })
  const done: Done = { code: null, stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text) => (done.stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text) => (done.stderr += text))
  child.stdin.on('error', () => {})
  child.stdin.end(input)
  const timer = setTimeout(() => child.kill('SIGKILL'), 60_000)
  return new Promise((resolve) => {
    child.on('close', (code) => {
      clearTimeout(timer)
      resolve({ ...done, code })
    })
  })
}

/** The words that say an input on a command line. */
function words(operation: OperationName, input: Fields): string[] {
  const { command, positionals, flags } = described.get(operation)!
  const flagWords = flags.flatMap(({ field, flag, kind }) => {
    const value = input[field]
    if (value === undefined || value === false) return []
    if (value === true) return [`--${flag}`]
    if (kind === 'map')
      return Object.entries(value as Fields).flatMap(([key, inner]) => [`--${flag}`, `${key}=${inner}`])
    return [value].flat().flatMap((each) => [`--${flag}`, String(each)])
  })
  return [...command, ...positionals.map(({ field }) => String(input[field])), ...flagWords]
}

function restOf(operation: OperationName, input: Fields): string[] {
  const { rest } = described.get(operation)!
  return rest === null ? [] : (input[rest.field] as string[])
}

/** For one test file: a folder with a seed, and a workspace `box` made of it by the command line; taken away at the end. */
export function cliBox() {
  const folder = newFolder()
  const env = engineEnv(folder)
  const run = (...args: string[]) => pyro(env, args)
  beforeAll(async () => {
    mkdirSync(join(folder, 'seed'))
    writeFileSync(join(folder, 'seed/a file.txt'), 'hello\n')
    const seed = ['--seed-path', join(folder, 'seed'), '--label', 'team=core']
    await run('workspace', 'create', 'host', '--name', 'box', ...seed)
  }, 60_000)
  afterAll(async () => {
    await run('daemon', 'stop', '--delete-workspaces')
    removeFolder(folder)
  }, 60_000)
  return { folder, env, pyro: run }
}
