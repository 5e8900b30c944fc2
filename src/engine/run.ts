/** One command in a workspace of its own, which is thrown away with it. */
import type { CallContext, CheckedInputOf, OutputOf } from '../contract/table.ts'
import { aborted } from './both.ts'
import { createWorkspace } from './create.ts'
import { deleteWorkspace } from './delete.ts'
import type { Engine } from './engine.ts'
import { exec } from './exec.ts'
import { watchJob } from './watch.ts'

/** How long an ephemeral workspace outlives its command when nobody reads the output to its end. */
const LINGER_MS = 15 * 60_000

export async function run(
  engine: Engine,
  input: CheckedInputOf<'run'>,
  context: CallContext,
): Promise<OutputOf<'run'>> {
  const {
    environment,
    seed_path,
    seed_all,
    repo,
    ref,
    backend,
    isolation,
    vcpu_count,
    mem_mib,
    pids_limit,
    disk_mib,
    ttl_seconds,
    ...command
  } = input
  const limits = { vcpu_count, mem_mib, pids_limit, disk_mib }
  const seed = { seed_path, seed_all, repo, ref }
  const given = {
    environment,
    ...seed,
    backend,
    isolation,
    ttl_seconds,
    ...limits,
    labels: {},
    ephemeral: true,
  }
  const { id } = await createWorkspace(engine, given, context)
  try {
    const result = await Promise.race([
      exec(engine, { ...command, stdin_open: false, workspace_id: id }),
      aborted(context.signal),
    ])
    const whole = result.stdout_stream.eof && result.stderr_stream.eof
    const over = result.state === 'exited' && (whole || !input.attach)
    if (over) await deleteWorkspace(engine, id)
    else deleteLater(engine, id)
    return { ...result, environment, deleted: over }
  } catch (error) {
    // Its time may have run out meanwhile.
    if (engine.workspaces.find(id) !== undefined) await deleteWorkspace(engine, id)
    throw error
  }
}

/** Deletes an ephemeral workspace whose output was read to the end, or long enough after its command ended. */
export function deleteLater(engine: Engine, id: string, lingerMs = LINGER_MS): void {
  void (async () => {
    for (const row of engine.jobs.running(id)) await watchJob(engine, row)
    await new Promise((resolve) => setTimeout(resolve, lingerMs).unref())
    if (engine.workspaces.find(id)?.ephemeral) await deleteWorkspace(engine, id)
  })().catch((error) => engine.log('run.delete_failed', { workspace: id, error: String(error) }))
}
