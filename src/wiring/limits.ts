/** Bounds that whoever starts the engine may set. */
import { PyroError } from '../contract/errors.ts'
import { SEED_LIMITS, type SeedLimits } from '../layer/store/store.ts'

/** PYRO_SEED_MAX_BYTES and PYRO_SEED_MAX_ENTRIES, whole numbers. @throws invalid_input */
export function seedLimitsOf(env: NodeJS.ProcessEnv): SeedLimits {
  return {
    max_bytes: wholeNumber(env, 'PYRO_SEED_MAX_BYTES') ?? SEED_LIMITS.max_bytes,
    max_entries: wholeNumber(env, 'PYRO_SEED_MAX_ENTRIES') ?? SEED_LIMITS.max_entries,
  }
}

/** Beyond what any disk holds, and far below where sums of it would not fit a 64-bit number. */
const MOST = 64 * 1024 ** 4

function wholeNumber(env: NodeJS.ProcessEnv, name: string): number | undefined {
  const text = env[name]
  if (text === undefined || text === '') return undefined
  const value = Number(text)
  if (/^\d+$/.test(text) && value >= 1 && value <= MOST) return value
  throw new PyroError('invalid_input', `${name}=${text}: expected a whole number from 1 to ${MOST}.`)
}
