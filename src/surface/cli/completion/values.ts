/**
 * The hidden command behind the scripts: names that only an engine knows, one a line with a tab and a few words. It asks an
 * engine that runs and starts none; when there is none, or it takes long, there is nothing to offer.
 */
import { plain } from '../../../contract/plain.ts'
import { client } from '../../sdk/client.ts'
import { print } from '../print.ts'

/** Whoever pressed the key is waiting. */
const PATIENCE_MS = 1500

export async function printValues(kind: string, workspace: string | undefined): Promise<void> {
  const engine = client({ autostart: false, once: true })
  const options = { signal: AbortSignal.timeout(PATIENCE_MS) }
  try {
    if (kind === 'workspace')
      for (const { workspace_id, name, state, environment } of (
        await engine.call('workspace_list', {}, options)
      ).workspaces) {
        if (name !== null) offer(name, `${state}, ${environment}`)
        offer(workspace_id, `${state}, ${environment}`)
      }
    if (kind === 'job' && workspace !== undefined)
      for (const { job_id, state, command } of (
        await engine.call('workspace_job_list', { workspace_id: workspace }, options)
      ).jobs)
        offer(job_id, `${state}: ${[command].flat().join(' ')}`)
    if (kind === 'environment')
      for (const { name, state } of (await engine.call('env_list', {}, options)).environments)
        offer(name, state)
  } catch {
    // Nothing to offer.
  }
}

const MOST = 60
const offer = (value: string, words: string) => print(`${plain(value)}\t${plain(words).slice(0, MOST)}`)
