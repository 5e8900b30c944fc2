import { execFileSync } from 'node:child_process'
import { chmodSync, chownSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { resolvePaths } from '../../src/wiring/paths.ts'
import { privateFolder, requirePrivate } from '../../src/wiring/private.ts'
import { isRoot } from '../support/users.ts'

const folder = mkdtempSync(join(tmpdir(), 'pyro-paths-'))
afterAll(() => rmSync(folder, { recursive: true }))

describe('paths', () => {
  test('two spellings of a home, and any environment beside it, find one socket', () => {
    mkdirSync(join(folder, 'real'))
    symlinkSync(join(folder, 'real'), join(folder, 'alias'))
    const one = resolvePaths({ PYRO_HOME: join(folder, 'real'), XDG_RUNTIME_DIR: '/run/user/7' })
    expect(resolvePaths({ PYRO_HOME: join(folder, 'alias/../alias') }).socket).toBe(one.socket)
  })
  test('a socket path stays below the bound, however long the home is', () => {
    for (const length of [1, 60, 100, 400]) {
      const { runtimeDir } = resolvePaths({ PYRO_HOME: `/x/${'a'.repeat(length)}` })
      expect(`${runtimeDir}/ws-0123456789.sock`.length).toBeLessThanOrEqual(104)
    }
    const [a, b] = ['a', 'b'].map(
      (end) => resolvePaths({ PYRO_HOME: `/x/${'a'.repeat(200)}${end}` }).runtimeDir,
    )
    expect(a).not.toBe(b)
  })
})

describe('folders for sockets', () => {
  test('one that others may enter, or that is a link, is refused', () => {
    const open = join(folder, 'open')
    mkdirSync(open)
    chmodSync(open, 0o755)
    expect(() => privateFolder(open)).toThrow(/others may enter/)
    symlinkSync(folder, join(folder, 'link'))
    expect(() => privateFolder(join(folder, 'link'))).toThrow(/no folder/)
    privateFolder(join(folder, 'new/deep'))
  })
  test.skipIf(!isRoot)(
    'one below /tmp that somebody else made is refused, by the engine and by a client',
    () => {
      const base = `/tmp/pyro-test-${process.pid}`
      mkdirSync(join(base, 'home'), { recursive: true, mode: 0o700 })
      chownSync(base, 65534, 65534)
      expect(() => privateFolder(join(base, 'home'))).toThrow(/somebody else/)
      expect(() => requirePrivate(join(base, 'home'))).toThrow(/somebody else/)
      execFileSync('rm', ['-r', base])
    },
  )
})
