/** Where the parts of the installed package, or of the checkout, lie. */
import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { PyroError } from '../contract/errors.ts'

/** The nearest folder above this file that has a package.json: the same for sources and for a bundle. */
function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url))
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder)
  return folder
}

export const ROOT = packageRoot()
export const VERSION = (JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as { version: string })
  .version

/** @throws native_missing */
export function nativeBinary(): string {
  const path = process.env['PYRO_NATIVE'] ?? join(ROOT, 'native/bin/pyro-native')
  if (existsSync(path)) return path
  throw new PyroError('native_missing', `The native binary ${path} does not exist.`, {
    hint: 'Run scripts/bootstrap in the checkout.',
  })
}
