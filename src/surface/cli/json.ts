/** A command's whole result as its operation answers it, for `--json`. */
import type { OutputOf } from '../../contract/table.ts'
import type { Client } from '../sdk/client.ts'
import type { Job } from '../sdk/job.ts'
import type { JobStatus } from '../sdk/types.ts'
import { printJson } from './print.ts'
import { textOf } from './render.ts'

const MAX_BYTES = 1_048_576

type Started = OutputOf<'workspace_exec'> & Partial<Pick<OutputOf<'run'>, 'environment' | 'deleted'>>

export async function jsonResult(engine: Client, started: Started, job: Job): Promise<JobStatus> {
  const status = await job.result
  const silent = started.state !== 'running' && started.stdout_stream.eof && started.stderr_stream.eof
  const result = silent ? started : await withOutput(engine, started)
  printJson(
    started.environment === undefined
      ? result
      : { ...result, environment: started.environment, deleted: true },
  )
  return status
}

async function withOutput(
  engine: Client,
  { workspace_id, job_id }: Started,
): Promise<OutputOf<'workspace_exec'>> {
  const read = await engine.call('workspace_job_read', { workspace_id, job_id, max_bytes: MAX_BYTES })
  const { stdout, stderr, spool_path: _path, ...job } = read
  const position = ({ cursor, dropped, eof }: typeof stdout) => ({ cursor, dropped, eof })
  return {
    ...job,
    stdout: textOf(stdout),
    stderr: textOf(stderr),
    stdout_stream: position(stdout),
    stderr_stream: position(stderr),
  }
}
