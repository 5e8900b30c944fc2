import { afterEach, describe, expect, test } from 'vitest'
import { killEngines, Lost, newFolder, Refused, removeFolder, startEngine } from '../support/engine.ts'
import { mountsBelow, processesNaming } from '../support/leaks.ts'
import { faultSuite } from './faultsuite.ts'

faultSuite({ name: 'oci', backend: 'oci', environment: 'host', kinds: ['kill', 'enospc', 'eio'] })

afterEach(killEngines)

describe('holder', () => {
  test.each([
    ['holder.intent', 'kill'],
    ['holder.outcome', 'kill'],
    ['holder.intent', 'enospc'],
    ['holder.outcome', 'eio'],
  ] as const)('%s %s', async (point, kind) => {
    const fresh = newFolder()
    const armed = await startEngine({ folder: fresh, env: { PYRO_FAULT: `${point}:${kind}` } })
    const answer = await armed.call('env_list', {}).catch((error: Error) => error)
    expect(answer).toBeInstanceOf(kind === 'kill' ? Lost : Refused)
    await armed.kill()
    const engine = await startEngine({ folder: fresh })
    expect((await engine.call('env_list', {})).environments.map(({ name }) => name)).toContain('host')
    await engine.stop()
    expect(processesNaming(fresh)).toEqual([])
    expect(mountsBelow(fresh)).toEqual([])
    removeFolder(fresh)
  })
})
