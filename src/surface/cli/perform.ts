/** One command of the command line, from its input to its output. */
import { client } from '../sdk/client.ts'
import { ask, show } from './ask.ts'
import type { Invocation } from './program.ts'

export async function perform(invocation: Invocation): Promise<number> {
  const { operation, flags } = invocation
  if (operation.name === 'workspace_exec' || operation.name === 'run')
    return await (await import('./command.ts')).runCommand(invocation)
  if (operation.name === 'daemon_status' || operation.name === 'daemon_stop')
    return await (await import('./daemon.ts')).daemon(invocation)
  const output = await ask(client({ once: true }), invocation)
  return await show(invocation, output, flags.json)
}
