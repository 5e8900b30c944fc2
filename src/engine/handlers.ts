/** Every operation of the contract, answered. */
import { PyroError } from '../contract/errors.ts'
import type { CheckedInputOf, Handlers } from '../contract/table.ts'
import { createWorkspace } from './create.ts'
import { deleteWorkspace } from './delete.ts'
import { demo } from './demo.ts'
import { doctor } from './doctor/index.ts'
import { type Engine, iso } from './engine.ts'
import { exec } from './exec.ts'
import { exportPath } from './export.ts'
import { inspectEnvironment, listEnvironments } from './environments.ts'
import { pruneEnvironments } from './prune.ts'
import { prepare, pullEnvironment } from './pull.ts'
import { killJob, listJobs, logs, readJob, readToEnd, writeJob } from './jobs.ts'
import { deleteLater, run } from './run.ts'
import { startWorkspace } from './start.ts'
import { stopWorkspace } from './stop.ts'
import { inTurn } from './turn.ts'
import { updateWorkspace } from './update.ts'
import { expiredView, workspaceView } from './view.ts'
import { noticeEnd, requireWorkspace } from './workspaces.ts'

export function handlers(engine: Engine): Handlers {
  const rows = () => engine.workspaces.list().map((row) => noticeEnd(engine, row))

  return {
    env_list: () => listEnvironments(engine),
    env_pull: (input, context) => pullEnvironment(engine, input, context),
    env_inspect: (input) => inspectEnvironment(engine, input),
    env_prune: (input, context) => pruneEnvironments(engine, input, context),
    prepare: (input, context) => prepare(engine, input, context),
    run: (input, context) => run(engine, input, context),
    workspace_create: async (input, context) =>
      workspaceView(engine, await createWorkspace(engine, input, context)),
    workspace_list: async ({ labels, expired }) => {
      const asked = Object.entries(labels)
      const matches = (row: { labels: Record<string, string> }) =>
        asked.every(([key, value]) => row.labels[key] === value)
      return {
        workspaces: rows()
          .filter(matches)
          .map((row) => workspaceView(engine, row)),
        ...(expired ? { expired: engine.expired.list().filter(matches).map(expiredView) } : {}),
      }
    },
    workspace_status: async ({ workspace_id }) =>
      workspaceView(engine, requireWorkspace(engine, workspace_id)),
    workspace_update: async (input) => workspaceView(engine, await updateWorkspace(engine, input)),
    workspace_exec: (input) => exec(engine, input),
    workspace_job_read: async (input) => {
      const read = await readJob(engine, input)
      if (readToEnd(read) && engine.workspaces.find(read.workspace_id)?.ephemeral)
        deleteLater(engine, read.workspace_id, 1000)
      return read
    },
    workspace_job_list: async (input) => listJobs(engine, input),
    workspace_job_write: (input) => writeJob(engine, input),
    workspace_job_kill: (input) => killJob(engine, input),
    workspace_logs: (input) => logs(engine, input),
    workspace_export: (input, context) => exportPath(engine, input, context),
    workspace_stop: async ({ workspace_id, grace_ms }) =>
      inTurn(engine, workspace_id, async (row) =>
        workspaceView(engine, await stopWorkspace(engine, row, { reason: 'on request', grace_ms })),
      ),
    workspace_start: async ({ workspace_id }, context) =>
      inTurn(engine, workspace_id, async (row) =>
        workspaceView(engine, await startWorkspace(engine, row, context)),
      ),
    workspace_delete: ({ workspace_id }) => deleteWorkspace(engine, workspace_id),
    doctor: ({ environment }, context) => doctor(engine, environment, context),
    demo: (input, context) => demo(engine, input, context),
    daemon_status: async () => {
      const all = rows()
      return {
        running: true,
        pid: process.pid,
        version: engine.version,
        home: engine.home,
        socket: engine.socket,
        started_at: iso(engine.startedAt),
        holder_pid: engine.hand.holderPid(),
        workspaces: all.length,
        running_workspaces: all.filter(({ state }) => state === 'running').length,
        memory_bytes: process.memoryUsage.rss(),
        http: engine.listening.status(),
      }
    },
    daemon_stop: (input) => stopDaemon(input),
    daemon_listen: (input) => engine.listening.listen(input),
    daemon_token: (input) => engine.listening.token(input),
  }

  async function stopDaemon({ delete_workspaces }: CheckedInputOf<'daemon_stop'>) {
    const deleted: string[] = []
    for (const { id } of delete_workspaces ? rows() : []) {
      try {
        await deleteWorkspace(engine, id)
      } catch (error) {
        // A creation that failed meanwhile has removed it.
        if (error instanceof PyroError && error.code === 'workspace_not_found') continue
        throw error
      }
      deleted.push(id)
    }
    const running = rows().filter(({ state }) => state === 'running').length
    engine.requestStop({ holder: running === 0 })
    return { stopped: true, deleted_workspaces: deleted, running_workspaces: running }
  }
}
