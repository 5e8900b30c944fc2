/** How an environment stands, and what pulling it would cost: told from what is on this machine. */
import type { OutputOf } from '../../contract/table.ts'
import type { BuildCost } from '../../environment/environment.ts'
import type { Engine } from '../engine.ts'
import { treeOwner } from '../environments.ts'
import type { Finding } from './finding.ts'

type Doctor = OutputOf<'doctor'>
type Found = NonNullable<Doctor['environment']>
export interface EnvironmentCheck {
  environment: Found
  /** A workspace of it can be made without building. */
  built: boolean
  finding: Finding
}

const MB = 1e6

/** @throws environment_not_found */
export async function environmentCheck(engine: Engine, name: string): Promise<EnvironmentCheck> {
  const environment = engine.environments.require(name)
  const owner = await treeOwner(engine)
  const reasons: string[] = []
  const damage = await environment.builds?.check(owner, { full: false })
  const newer = await environment.builds?.outdated(owner).catch(() => null)
  const { state: root, reason, backends } = environment.describe(owner)
  if (reason !== null) reasons.push(reason)
  let state = root
  if (state === 'warm' && backends.some((backend) => backend !== 'oci')) {
    const guest = await engine.guestImages.outdated().catch(() => null)
    if (guest !== null) reasons.push(`for machines: ${guest}`)
    if (guest !== null) state = 'stale'
  }
  const wanted = state === 'cold' || damage || newer || (root === 'stale' && !newer)
  const pull = wanted && environment.builds ? await environment.builds.cost() : null
  const fine = state === 'warm' || environment.builds === undefined
  const text = {
    cold: 'cold: not built yet',
    warm: 'warm: built, as it would be now',
    stale: `stale: ${reasons.join('; ')}`,
    damaged: `damaged: ${reasons.join('; ')}`,
    unavailable: `cannot be built here: ${reasons.join('; ')}`,
  }[state]
  return {
    environment: { name, state, reasons, pull },
    built: environment.builds === undefined || (environment.builds.standing(owner) !== null && !damage),
    finding: {
      status: fine ? 'ok' : state === 'damaged' || state === 'unavailable' ? 'missing' : 'slower',
      why: pull === null ? text : `${text}; ${costText(pull)}`,
      command: fine || state === 'unavailable' ? null : `pyro env pull ${name}`,
    },
  }
}

function costText({ packages, download_bytes, disk_bytes }: BuildCost): string {
  const mb = (bytes: number) => `${Math.round(bytes / MB)} MB`
  return `a pull fetches ${packages} packages, ${mb(download_bytes)}, and takes ${mb(disk_bytes)} of the disk`
}
