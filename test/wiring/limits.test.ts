import { expect, test } from 'vitest'
import { PyroError } from '../../src/contract/errors.ts'
import { SEED_LIMITS } from '../../src/layer/store/store.ts'
import { seedLimitsOf } from '../../src/wiring/limits.ts'

test('seeds are bounded by default, and by what the engine is told', () => {
  expect(seedLimitsOf({})).toEqual(SEED_LIMITS)
  expect(seedLimitsOf({ PYRO_SEED_MAX_BYTES: '1000', PYRO_SEED_MAX_ENTRIES: '' })).toEqual({
    max_bytes: 1000,
    max_entries: SEED_LIMITS.max_entries,
  })
})

test.each(['0', '-1', '1e9', 'many', '1.5', ' 1', '9'.repeat(20)])('%j is no bound', (text) => {
  const bad = () => seedLimitsOf({ PYRO_SEED_MAX_ENTRIES: text })
  expect(bad).toThrow(PyroError)
  expect(bad).toThrow(/PYRO_SEED_MAX_ENTRIES.*whole number/)
})
