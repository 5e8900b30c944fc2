/** Where the parts of the installed package, or of the checkout, lie. */
import { existsSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'
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

export interface Programs {
  /** The host's half: the hand, the holder and what they start. */
  native: string
  /** The sandbox's half: init, agent and supervisors. It lies beside the other. */
  guest: string
}

/** @throws native_missing */
export function programs(): Programs {
  const native = nativeBinary()
  const guest = join(dirname(native), basename(native).replace('native', 'guest'))
  if (!existsSync(guest))
    throw new PyroError('native_missing', `${native} is there, and ${guest} is not.`, {
      hint: 'Both are made by one build, and lie beside each other.',
    })
  return { native, guest }
}

/** What a checkout has built for itself, else the package's for this architecture. */
function nativeBinary(): string {
  const named = process.env['PYRO_NATIVE']
  const packed = join(ROOT, `dist/native/pyro-native-${process.arch}`)
  const places = named ? [named] : [join(ROOT, 'native/bin/pyro-native'), packed]
  const path = places.find((place) => existsSync(place))
  if (path !== undefined) return path
  if (named)
    throw new PyroError('native_missing', `PYRO_NATIVE=${named} does not exist.`, {
      hint: 'Unset PYRO_NATIVE to use the one that Pyro came with.',
    })
  if (existsSync(join(ROOT, 'src')))
    throw new PyroError('native_missing', `The native binary ${places[0]} does not exist.`, {
      hint: 'Run scripts/bootstrap in the checkout.',
    })
  throw new PyroError('native_missing', `This package has no native binary for ${process.arch}: ${packed}.`, {
    hint: 'Pyro runs on x64 and arm64. On one of these, install it again: npm install --global pyro-mcp',
  })
}
