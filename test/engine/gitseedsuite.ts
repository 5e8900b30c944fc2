/** A checkout is the same inside as outside: asked of git on both sides, for every shape of repository. */
import { existsSync, mkdirSync, chownSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newFolder, removeFolder, startEngine, type TestEngine } from '../support/engine.ts'
import { gitKnows, makeShape, script, SHAPES } from '../support/repositories.ts'
import type { User } from '../support/users.ts'

/** What a user sees of a repository. Upstreams count by name. */
export const SEEN = `
  git status --porcelain=v2 --branch -z --untracked-files=all | tr '\\0' '\\n'
  git rev-parse -q --verify HEAD || echo unborn; git symbolic-ref -q HEAD || echo detached
  git stash list --format='%H %gs'; git ls-files -s -v -z | tr '\\0' '\\n'; git for-each-ref; git status | head -20
  git submodule status --recursive`

/** The files of the work tree whose content git opens for its first answer; lists of what to ignore are read anyhow. */
export const READ = `
  export GIT_OPTIONAL_LOCKS=0 T="$(mktemp)"
  strace -f -qq -e trace=open,openat,mmap -e signal=none -o "$T" git status >/dev/null
  test "$(grep -c openat "$T")" -gt 5
  grep -o 'openat*(AT_FDCWD, "[^"]*", O_RDONLY[^)]*) = [0-9]*' "$T" | grep -v O_DIRECTORY | sed 's/^[^"]*"//; s/", O_.*//' |
    grep -v -e '^/[^w]' -e '^\\.git' -e '/\\.git$' -e '/\\.git/' -e '\\.gitignore$' -e '\\.gitattributes$' -e '\\.gitmodules$' || true`

const INSIDE = `
  set -eu; export HOME=/root LC_ALL=C; cd /workspace
  no() { if "$@" >/tmp/no 2>&1; then echo "unexpected: $*"; cat /tmp/no; exit 1; fi; }`

const ALL = Object.entries(SHAPES).filter(([shape, { needs }]) => {
  const known = needs === undefined || gitKnows(needs)
  if (!known) console.warn(`no seed of ${shape} is tested: this git has no ${needs}`)
  return known
})

export interface GitSubject {
  name: string
  user?: () => User
}

export function gitSeedSuite({ name, user }: GitSubject): void {
  describe(name, () => {
    let engine: TestEngine
    let folder: string
    let shapes: string
    const paths = new Map<string, string>()
    const who = () => user?.()

    beforeAll(async () => {
      folder = newFolder(who())
      shapes = join(folder, 'shapes')
      mkdirSync(shapes)
      const owner = who()
      if (owner) chownSync(shapes, owner.uid, owner.gid)
      engine = await startEngine({ folder, user: owner })
      for (const [shape, how] of ALL) paths.set(shape, makeShape(shapes, shape, how, owner))
      // What was written in the second in which it is seeded is read once more inside, as git cannot tell it from what
      // is written there in the same second.
      await new Promise((resolve) => setTimeout(resolve, 1100))
    }, 240_000)
    afterAll(async () => {
      await engine.stop()
      removeFolder(folder)
    })

    for (const [shape, how] of ALL) {
      test(`${shape}: seen alike inside and outside`, async () => {
        const path = paths.get(shape)!
        const made = await engine.call('workspace_create', { environment: 'host', seed_path: path })
        expect(made.workspace_seed).toMatchObject({ origin_kind: 'git', ...how.says })
        expect(existsSync(join(path, '../ran'))).toBe(false)
        const one = { workspace_id: made.workspace_id }
        const sh = async (command: string) => {
          const done = await engine.call('workspace_exec', { ...one, command: `${INSIDE}\n${command}` })
          expect(`${done.exit_code} ${done.stderr}${done.exit_code === 0 ? '' : done.stdout}`).toBe('0 ')
          return done.stdout
        }
        // Before anything inside could have read the files and remembered that.
        expect((await sh(READ)).split('\n').filter(Boolean).sort()).toEqual(how.reread ?? [])
        expect(await sh(SEEN)).toBe(script(path, SEEN, who()))
        expect(await sh('find . -path ./.git/objects -prune -o ! -user 0 -print -o ! -group 0 -print')).toBe(
          '',
        )
        await sh(`no grep -rIl ${folder} .git; test ! -e .git/hooks; no git config core.fsmonitor`)
        await sh(how.inside ?? 'git fsck --no-dangling 2>&1')
        await engine.call('workspace_delete', one)
      })
    }
  })
}
