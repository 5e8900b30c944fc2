/** Everything that a workspace of an environment starts from, built beforehand. */
import { statSync } from 'node:fs'
import type { CallContext, CheckedInputOf, OutputOf } from '../contract/table.ts'
import type { Owner } from '../hand/protocol.ts'
import type { Engine } from './engine.ts'

export async function prepare(
  engine: Engine,
  { environment: name }: CheckedInputOf<'prepare'>,
  owner: Owner,
  { signal, progress }: CallContext,
): Promise<OutputOf<'prepare'>> {
  const environment = engine.environments.require(name)
  const from = performance.now()
  let built = false
  const options = {
    signal,
    progress(text: string) {
      built = true
      progress({ kind: 'step', text })
    },
  }
  const { lowers } = await environment.build(owner, options)
  const image = await environment.image?.(owner, options)
  const guest = image === undefined ? null : await engine.guestImages.ensure(options)
  return {
    environment: name,
    state: 'ready',
    built,
    duration_ms: Math.round(performance.now() - from),
    root: lowers[0]!,
    image: image === undefined ? null : { path: image, bytes: statSync(image).size },
    guest,
  }
}
