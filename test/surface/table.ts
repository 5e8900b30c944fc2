/** A few operations answered truthfully from memory, and some that take their time: what tests of a face need. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { PyroError } from '../../src/contract/errors.ts'
import type { CallContext, Handlers } from '../../src/contract/table.ts'
import { type HttpServer, serve } from '../../src/surface/http/serve.ts'

export interface TestServer extends AsyncDisposable {
  folder: string
  socket: string
  server: HttpServer
  handlers: Handlers
  /** Signals of the calls of `doctor` and `workspace_delete` that are under way, which end only when they are told to. */
  pending: { context: CallContext; finish: (error?: Error) => void }[]
}

export async function testServer(more: Partial<Handlers> = {}, closeGraceMs = 300): Promise<TestServer> {
  const folder = mkdtempSync(join(tmpdir(), 'pyro-http-'))
  const socket = join(folder, 'engine.sock')
  const pending: TestServer['pending'] = []
  const wait = (context: CallContext) =>
    new Promise<void>((resolve, reject) =>
      pending.push({ context, finish: (error) => (error ? reject(error) : resolve()) }),
    )
  const known: Partial<Handlers> = {
    env_list: async () => ({
      environments: [
        { name: 'host', description: 'This machine', backends: ['oci'], state: 'warm', reason: null },
      ],
    }),
    workspace_status: async ({ workspace_id }) => {
      throw new PyroError('workspace_not_found', `There is no workspace ${workspace_id}.`, {
        hint: 'See pyro workspace list.',
      })
    },
    doctor: async (_input, context) => {
      context.progress({ kind: 'step', text: 'looking' })
      await wait(context)
      return { ok: true, environment: null, checks: [] }
    },
    workspace_delete: async ({ workspace_id }, context) => {
      await wait(context)
      const none = { count: 0, entries: [], truncated: false }
      return {
        workspace_id,
        name: null,
        deleted: true,
        changes: { added: 0, modified: 0, deleted: 0 },
        never_exported: none,
      }
    },
    ...more,
  }
  const server = await serve({
    handlers: known as Handlers,
    socket,
    version: '9.9.9',
    closeGraceMs,
    checkOutput: true,
  })
  return {
    folder,
    socket,
    server,
    handlers: known as Handlers,
    pending,
    async [Symbol.asyncDispose]() {
      for (const { finish } of pending) finish()
      await server.close()
      rmSync(folder, { recursive: true, force: true })
    },
  }
}

export async function until(holds: () => boolean, ms = 5000): Promise<void> {
  for (const end = Date.now() + ms; !holds(); ) {
    if (Date.now() > end) throw new Error(`did not come about within ${ms} ms: ${holds}`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
