import { describe, test } from 'vitest'
import { missingForMachines } from '../support/machines.ts'
import { lifeSuite } from './life.ts'

const missing = missingForMachines()

if (missing.length > 0)
  describe('qemu', () => {
    test.skip(`needs ${missing.join(', ')}`, () => {})
  })
else lifeSuite({ name: 'qemu', backend: 'qemu', environment: 'debian:12-base' })
