// Fills dist/ with what the published package carries: programs, the types of the SDK, the native programs for each
// architecture, the manual page, licences. scripts/build calls it, with Go on PATH. Nothing outside dist/ is written.
import { chmodSync, copyFileSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { bundle } from './bundle.ts'
import { licences } from './licences.ts'
import { manualPage } from './man.ts'
import { types } from './types.ts'

const root = join(import.meta.dirname, '..')
const dist = join(root, 'dist')
const built = join(root, 'native/bin/package')

rmSync(dist, { recursive: true, force: true })
const inputs = await bundle(root, dist)
types(root, join(dist, 'types'))

const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { version: string }
mkdirSync(join(dist, 'man'))
writeFileSync(join(dist, 'man/pyro.1'), manualPage(version))

const native = join(dist, 'native')
mkdirSync(native)
const binaries = readdirSync(built).filter((name) => /^pyro-(native|guest)-/.test(name))
for (const name of binaries) {
  copyFileSync(join(built, name), join(native, name))
  chmodSync(join(native, name), 0o755)
}
writeFileSync(
  join(dist, 'LICENSES.txt'),
  licences(
    root,
    inputs,
    binaries.map((name) => join(native, name)),
  ),
)
