/** A hand with a holder of its own, without an engine. */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import { type HandService, handService } from '../../src/hand/index.ts'
import { ROOT } from './users.ts'

/** The caller closes it, and the holder with it. */
export function testHand(folder: string): HandService {
  const home = join(folder, 'home')
  const runtimeDir = join(folder, 'run')
  for (const path of [home, runtimeDir]) mkdirSync(path, { recursive: true, mode: 0o700 })
  return handService({
    binary: join(ROOT, 'native/bin/pyro-native'),
    home,
    runtimeDir,
    onHolder() {},
  })
}
