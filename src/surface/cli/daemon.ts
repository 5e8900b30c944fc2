/** `pyro daemon`: asks the engine that runs, and starts none in order to ask it. */
import { PyroError } from '../../contract/errors.ts'
import { client } from '../sdk/client.ts'
import { VERSION } from '../sdk/version.ts'
import { ask, show } from './ask.ts'
import type { Invocation } from './program.ts'

export async function daemon(invocation: Invocation): Promise<number> {
  // To delete workspaces an engine is needed, also when none runs.
  const autostart = invocation.input['delete_workspaces'] === true
  const engine = client({ autostart })
  let output: Record<string, unknown>
  try {
    output = await ask(engine, invocation)
  } catch (error) {
    if (!(error instanceof PyroError) || error.code !== 'engine_unreachable' || autostart || engine.remote)
      throw error
    output = invocation.operation.name === 'daemon_stop' ? NOTHING_STOPPED : nothingRuns(engine.paths)
  }
  return await show(invocation, output, invocation.flags.json)
}

const NOTHING_STOPPED = { stopped: false, deleted_workspaces: [], running_workspaces: 0 }

const nothingRuns = ({ home, socket }: { home: string; socket: string }) => ({
  running: false,
  pid: null,
  version: VERSION,
  home,
  socket,
  started_at: null,
  holder_pid: null,
  workspaces: 0,
  running_workspaces: 0,
  memory_bytes: 0,
  http: {
    listening: false,
    url: null,
    mcp_url: null,
    allowed_hosts: [],
    allowed_origins: [],
    error: null,
  },
})
