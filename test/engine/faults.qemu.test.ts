import { describe, test } from 'vitest'
import { missingForMachines } from '../support/machines.ts'
import { faultSuite } from './faultsuite.ts'

const missing = missingForMachines()

if (missing.length > 0)
  describe('qemu', () => {
    test.skip(`needs ${missing.join(', ')}`, () => {})
  })
else faultSuite({ name: 'qemu', backend: 'qemu', environment: 'debian:12-base', kinds: ['kill'] })
