/** The package as npm makes it, once for each file of tests, and its installation by an ordinary user. */
import { execFileSync, spawnSync } from 'node:child_process'
import { chmodSync, mkdirSync, mkdtempSync, readdirSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { checkoutFor, ROOT, type User } from './users.ts'

export interface Packed {
  tarball: string
  /** Its content. */
  folder: string
}

/** Packs, which builds what is not built; one at a time, as files of tests run side by side and dist/ is one. */
export function pack(): Packed {
  const into = mkdtempSync(join(tmpdir(), 'packed-'))
  // The user of a test reads it too.
  chmodSync(into, 0o755)
  execFileSync('flock', ['build/build.ts', 'npm', 'pack', '--silent', '--pack-destination', into], {
    cwd: ROOT,
    stdio: ['ignore', 'ignore', 'pipe'],
    timeout: 300_000,
  })
  const tarball = join(into, readdirSync(into).find((name) => name.endsWith('.tgz'))!)
  execFileSync('tar', ['-xzf', tarball, '-C', into])
  return { tarball, folder: join(into, 'package') }
}

export interface Account {
  env: Record<string, string>
  home: string
  /** Runs a script of /bin/sh as this user, with nothing of our environment. */
  sh: (
    script: string,
    env?: Record<string, string>,
  ) => { status: number | null; stdout: string; stderr: string }
}

/**
 * What a person has who has just got an account: a home, a PATH with a Node that is new enough, and npm. Without `user` it
 * is the present one, with an empty home.
 */
export function account(user: User | undefined): Account {
  const home = user?.home ?? mkdtempSync(join(tmpdir(), 'account-'))
  const node = dirname(user ? process.execPath.replace(ROOT, checkoutFor(user)) : process.execPath)
  const env = { PATH: `${node}:/usr/local/bin:/usr/bin:/bin`, HOME: home, LANG: 'C.UTF-8' }
  mkdirSync(join(home, '.npm'), { recursive: true })
  if (user) execFileSync('chown', ['-R', `${user.uid}:${user.gid}`, join(home, '.npm')])
  return {
    env,
    home,
    sh(script, extra = {}) {
      const { status, stdout, stderr } = spawnSync('/bin/sh', ['-c', script], {
        cwd: home,
        env: { ...env, ...extra },
        encoding: 'utf8',
        timeout: 300_000,
        maxBuffer: 16 * 1_048_576,
        ...(user ? { uid: user.uid, gid: user.gid } : {}),
      })
      return { status, stdout, stderr }
    },
  }
}
