/** The main job once, with every step said: what `pyro demo` shows. */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import workspaceExec from '../contract/operations/workspace_exec.ts'
import type { CallContext, CheckedInputOf, OutputOf } from '../contract/table.ts'
import { createWorkspace } from './create.ts'
import { deleteWorkspace } from './delete.ts'
import type { Engine } from './engine.ts'
import { exec } from './exec.ts'
import { exportPath } from './export.ts'
import { readJob } from './jobs.ts'

type Steps = OutputOf<'demo'>['steps']

export async function demo(
  engine: Engine,
  input: CheckedInputOf<'demo'>,
  context: CallContext,
): Promise<OutputOf<'demo'>> {
  const steps: Steps = []
  const step = async <T>(name: string, work: () => Promise<T>, detail: (result: T) => string): Promise<T> => {
    context.progress({ kind: 'step', text: name })
    const from = performance.now()
    const result = await work()
    steps.push({
      name,
      detail: detail(result),
      duration_ms: Math.round((performance.now() - from) * 10) / 10,
    })
    return result
  }

  const { environment, seed_path, backend, isolation } = input
  const { id } = await step(
    'create',
    () =>
      createWorkspace(
        engine,
        { environment, seed_path, backend, isolation, labels: { made_by: 'demo' } },
        context,
      ),
    (row) => `${row.id} with ${row.seed.files} files from ${seed_path}`,
  )
  try {
    const exit = await step(
      'exec',
      () => follow(engine, id, input.command, context),
      (code) => `exit code ${code}`,
    )
    const scratch = input.output_path === undefined ? mkdtempSync(join(tmpdir(), 'pyro-demo-')) : undefined
    try {
      const output_path = input.output_path ?? join(scratch!, 'exported')
      await step(
        'export',
        () =>
          exportPath(engine, { workspace_id: id, path: input.path, output_path, overwrite: false }, context),
        (done) => `${done.path}: ${done.bytes} bytes${scratch ? '' : ` to ${output_path}`}`,
      )
    } finally {
      if (scratch !== undefined) rmSync(scratch, { recursive: true, force: true })
    }
    await step(
      'delete',
      () => deleteWorkspace(engine, id),
      (gone) =>
        `${gone.changes.added} added, ${gone.changes.modified} modified, ${gone.never_exported.count} never exported`,
    )
    return { ok: exit === 0, workspace_id: id, exit_code: exit, steps }
  } catch (error) {
    if (engine.workspaces.find(id)) await deleteWorkspace(engine, id)
    throw error
  }
}

/** Runs a command and passes its output on as it comes. */
async function follow(
  engine: Engine,
  id: string,
  command: string | string[],
  { signal, progress }: CallContext,
): Promise<number | null> {
  const input = { workspace_id: id, command, wait_ms: 0, max_output_bytes: 0, attach: true }
  const started = await exec(engine, workspaceExec.input.parse(input))
  let [stdout_cursor, stderr_cursor] = [0, 0]
  for (;;) {
    signal.throwIfAborted()
    const read = await readJob(engine, {
      workspace_id: id,
      job_id: started.job_id,
      stdout_cursor,
      stderr_cursor,
      max_bytes: 65_536,
      wait_ms: 1000,
      attach: true,
    })
    for (const stream of ['stdout', 'stderr'] as const) {
      const { data, encoding } = read[stream]
      const text = encoding === 'utf-8' ? data : Buffer.from(data, 'base64').toString('utf8')
      if (text) progress({ kind: 'output', stream, text })
    }
    stdout_cursor = read.stdout.cursor
    stderr_cursor = read.stderr.cursor
    if (read.state !== 'running' && read.stdout.eof && read.stderr.eof) return read.exit_code
  }
}
