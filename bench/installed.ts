/** The package as it is installed: packed and unpacked elsewhere. What is measured is what people run. */
import { execFileSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'

const ROOT = resolve(import.meta.dirname, '..')
/** A run as another user is told where the package of the first one lies. */
const GIVEN = 'PYRO_BENCH_PACKAGE'

let made: string | undefined

/** The package's folder, which every user may read. */
export function installed(): string {
  const given = process.env[GIVEN]
  if (given !== undefined) return given
  made ??= pack()
  return join(made, 'package')
}

/** For the environment of a run as another user. */
export const handOn = (): string => `${GIVEN}=${installed()}`

export function remove(): void {
  if (made !== undefined) rmSync(made, { recursive: true, force: true })
}

function pack(): string {
  const folder = mkdtempSync(join(tmpdir(), 'pyro-bench-package-'))
  chmodSync(folder, 0o755)
  const packed = join(folder, 'packed')
  mkdirSync(packed)
  execFileSync('npm', ['pack', '--silent', '--pack-destination', packed], {
    cwd: ROOT,
    stdio: ['ignore', 'ignore', 'inherit'],
  })
  const archive = readdirSync(packed).find((name) => name.endsWith('.tgz'))!
  execFileSync('tar', ['-xzf', join(packed, archive), '-C', folder])
  return folder
}
