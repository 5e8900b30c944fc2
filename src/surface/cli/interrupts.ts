/**
 * Signals to the command line. While a command runs they are for it: the first Ctrl-C goes to its process group, a second
 * ends the whole tree. Before it runs they cancel the call, and the engine undoes what had begun.
 */
import type { Client } from '../sdk/client.ts'
import type { Job } from '../sdk/job.ts'

export interface Interrupts {
  /** Aborted by a signal that comes before there is a command. */
  signal: AbortSignal
  /** From here on signals are for this command. */
  watch: (job: Job) => void
}

export function interrupts({ engine, ephemeral }: { engine: Client; ephemeral: boolean }): Interrupts {
  const before = new AbortController()
  let job: Job | undefined
  let asked = 0

  const end = () => void job?.kill({ graceMs: asked > 2 ? 0 : 2000 }).catch(() => {})
  const interrupt = () => {
    asked++
    if (job === undefined) before.abort()
    else if (asked === 1) void job.kill({ signal: 'SIGINT' }).catch(() => {})
    else end()
  }
  process.on('SIGINT', interrupt)
  process.on('SIGTERM', () => (job === undefined ? before.abort() : end()))
  // A terminal that closes leaves a command of a workspace running; one of its own goes with it.
  if (ephemeral) {
    process.on('SIGHUP', () => {
      if (job === undefined) before.abort()
      else
        void engine
          .call('workspace_delete', { workspace_id: job.workspaceId })
          .finally(() => process.exit(129))
    })
  }
  return {
    signal: before.signal,
    watch(started) {
      job = started
    },
  }
}
