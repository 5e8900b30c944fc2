/** Whether PYRO_HOME can hold layers: tried once per engine, by mounting one. */
import { PyroError } from '../contract/errors.ts'
import type { Engine } from './engine.ts'

const suitable = new WeakSet<Engine>()

/** @throws home_unsuitable with the file system's name and what to do. */
export async function requireSuitableHome(engine: Engine): Promise<void> {
  if (suitable.has(engine)) return
  const probe = await engine.hand.call('probe_fs', { path: engine.home })
  if (!probe.overlay)
    throw new PyroError(
      'home_unsuitable',
      `PYRO_HOME ${engine.home} is on ${probe.type}, which cannot hold overlay layers${probe.reason ? `: ${probe.reason}` : ''}.`,
      { hint: 'Set PYRO_HOME to a folder on a local file system such as ext4, xfs or btrfs.' },
    )
  suitable.add(engine)
}
