/** Repositories as people have them, made by real git: each is a script that leaves the one to seed at ./r. */
import { execFileSync, spawnSync } from 'node:child_process'
import { chownSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { User } from './users.ts'

/** Nothing of the user who runs the tests; local addresses are what submodules and clones here come from. */
export const GIT_ENV: Record<string, string> = {
  PATH: process.env['PATH'] ?? '/usr/bin:/bin',
  LC_ALL: 'C',
  GIT_CONFIG_NOSYSTEM: '1',
  GIT_CONFIG_GLOBAL: '/dev/null',
  GIT_OPTIONAL_LOCKS: '0',
  GIT_AUTHOR_NAME: 'a',
  GIT_AUTHOR_EMAIL: 'a@example.org',
  GIT_COMMITTER_NAME: 'a',
  GIT_COMMITTER_EMAIL: 'a@example.org',
  GIT_CONFIG_COUNT: '3',
  GIT_CONFIG_KEY_0: 'protocol.file.allow',
  GIT_CONFIG_VALUE_0: 'always',
  GIT_CONFIG_KEY_1: 'init.defaultBranch',
  GIT_CONFIG_VALUE_1: 'main',
  GIT_CONFIG_KEY_2: 'advice.detachedHead',
  GIT_CONFIG_VALUE_2: 'false',
}

/** Functions that the scripts are made of. */
const PRELUDE = `
  export HOME=$PWD
  commit() { git add -A; git commit -qm "$1"; }
  # base [folder]: a repository with a few commits; what was removed from its history is still in its objects.
  base() {
    git init -q "\${1:-r}"; cd "\${1:-r}"
    mkdir -p src/deep docs; seq 100 >src/a.txt; echo b >src/deep/b.txt; echo doc >docs/c.md
    printf '#!/bin/sh\\n' >run.sh; chmod 755 run.sh; echo 'ignored*' >.gitignore; commit one
    seq 200 >src/a.txt; commit two; git tag v1
    cd - >/dev/null
  }`

/** What git must say alike inside and outside is the whole of the test, save where a shape says more. */
export interface Shape {
  make: string
  /** What to seed, below the shape's folder; r unless given. */
  seed?: string
  /** A check inside, which has to end well. */
  inside?: string
  /** Of the answer. */
  says?: Record<string, unknown>
  /** Not known to every git. */
  needs?: string
  /** Files that git has to read again, as they were changed and have the size they had. */
  reread?: string[]
}

export const SHAPES: Record<string, Shape> = {
  plain: {
    make: 'base; touch r/ignored.o',
    inside: 'test ! -e ignored.o',
    says: { branch: 'main', shallow: false },
  },
  detached: { make: 'base; git -C r checkout -q HEAD~1', says: { branch: null } },
  upstream: {
    make: `base up; git clone -q up r; cd r; git checkout -q -b topic --track origin/main; echo x >x; commit three
      git remote set-url origin https://user:s3cret@git.example.org/team/p.git?token=s3cret
      git config http.extraHeader 'Authorization: s3cret'; git config credential.helper 'store --file=s3cret'
      git config url.https://s3cret@git.example.org/.insteadOf https://git.example.org/`,
    inside: `test "$(git remote get-url origin)" = https://git.example.org/team/p.git
      test "$(git rev-parse --abbrev-ref @{u})" = origin/main; no grep -r s3cret .git; no git config credential.helper`,
    says: { branch: 'topic' },
  },
  stash: {
    make: 'base; cd r; echo 1 >>src/a.txt; git stash -q; echo 2 >new; echo 3 >>docs/c.md; git stash push -q -u -m second',
    inside:
      'git stash pop -q; test "$(cat new)" = 2; git reset -q --hard; git stash pop -q; tail -1 src/a.txt | grep -qx 1',
  },
  mixed: {
    make: `base; cd r; echo staged >>src/a.txt; git add src/a.txt; echo more >>src/a.txt; echo unstaged >>docs/c.md
      echo new >untracked; mkdir dir; echo new >dir/untracked; touch ignored-file; git add -N dir/untracked`,
  },
  deleted: { make: 'base; cd r; rm src/a.txt; rm -r docs; git rm -q --cached run.sh' },
  renamed: { make: 'base; cd r; git mv src/a.txt moved.txt; echo >>moved.txt' },
  'linked work tree': {
    make: 'base m; cd m; git worktree add -q ../r -b side; echo x >../r/new; echo y >>../r/src/a.txt; git -C ../r stash -q',
    inside: 'test -d .git; test ! -e .git/commondir; git worktree list | wc -l | grep -qx 1',
    says: { branch: 'side' },
  },
  'work tree of a bare one': {
    make: 'base up; git clone -q --bare up b.git; git -C b.git worktree add -q ../r main',
  },
  submodules: {
    make: `base one; base two; base inner; cd two; git submodule add -q ../inner libs/inner; commit nested; cd ..
      base; cd r; git submodule add -q ../one subs/one; git submodule add -q ../two two; git submodule add -q ../one off
      commit subs; git submodule update -q --init --recursive; git submodule deinit -q -f off
      echo changed >>subs/one/src/a.txt; echo new >two/libs/inner/new; git -C two/libs/inner checkout -q v1`,
    inside: `git submodule foreach -q --recursive 'git status --porcelain=v2 --branch; git fsck --no-dangling'
      test -f subs/one/.git; test -d .git/modules/two/modules/libs/inner; test ! -e off/.git`,
  },
  'submodule in a linked work tree': {
    make: `base one; base m; cd m; git submodule add -q ../one sub; commit sub; git worktree add -q ../r; cd ../r
      git submodule update -q --init; echo x >>sub/src/a.txt`,
  },
  shallow: {
    make: 'base up; git clone -q --depth 1 "file://$PWD/up" r',
    inside: 'test "$(git rev-list --count HEAD)" = 1',
    says: { shallow: true },
  },
  partial: {
    make: 'base up; git -C up config uploadpack.allowFilter true; git clone -q --filter=blob:none "file://$PWD/up" r; echo x >>r/docs/c.md',
    inside: `git rev-list --objects --all --missing=print | grep -q '^?'; git fsck`,
    says: { partial: true },
  },
  'partial without trees': {
    make: 'base up; git -C up config uploadpack.allowFilter true; git clone -q --filter=tree:0 "file://$PWD/up" r; echo x >>r/docs/c.md',
    says: { partial: true },
  },
  sparse: {
    make: 'base; cd r; git sparse-checkout set --cone src; echo x >>src/a.txt',
    inside: 'test ! -e docs; test -e src/deep/b.txt; git sparse-checkout list | grep -qx src',
  },
  'sparse index': {
    make: 'base; cd r; git sparse-checkout set --cone --sparse-index src; echo x >>src/a.txt',
  },
  alternates: {
    make: 'base up; git clone -q --shared up r; echo x >>r/src/a.txt; echo lent >up/later; cd up; commit lent',
    inside: 'test ! -e .git/objects/info/alternates; test "$(git rev-list --count --all)" = 2',
  },
  'pointers of large files': {
    make: `base; cd r; echo '*.bin filter=lfs diff=lfs merge=lfs -text' >.gitattributes
      printf 'version https://git-lfs.github.com/spec/v1\\noid sha256:%064d\\nsize 12345\\n' 0 >big.bin; commit lfs
      git config filter.lfs.clean 'touch ../ran; cat'; git config filter.lfs.smudge 'touch ../ran; cat'
      git config filter.lfs.required true; rm -f ../ran`,
  },
  'merge under way': {
    make: `base; cd r; git checkout -q -b other; echo other >docs/c.md; commit other; git checkout -q main
      echo main >docs/c.md; commit main; ! git merge -q other`,
    inside:
      'test -e .git/MERGE_HEAD; echo both >docs/c.md; git add docs; git -c user.name=b -c user.email=b@c commit -qm merged',
  },
  'rebase under way': {
    make: `base; cd r; git checkout -q -b other HEAD~1; echo 1 >docs/c.md; commit other; echo 2 >next; commit next
      git checkout -q main; echo main >docs/c.md; commit main; git checkout -q other; ! git rebase -q main 2>/dev/null`,
    inside: `git checkout --theirs -q docs/c.md; git add docs; GIT_EDITOR=true git -c user.name=b -c user.email=b@c rebase --continue
      test -e next; test "$(git branch --show-current)" = other`,
  },
  'cherry-pick and bisect': {
    make: `base; cd r; git checkout -q -b other; echo other >docs/c.md; commit other; git checkout -q main; echo m >docs/c.md
      commit m; git bisect start -q HEAD HEAD~2 >/dev/null; git checkout -q main; ! git cherry-pick other >/dev/null 2>&1`,
  },
  unborn: {
    make: 'git init -q r; cd r; echo x >staged; git add .; echo y >untracked',
    says: { head: null, branch: 'main' },
  },
  empty: { make: 'git init -q r', says: { head: null, files: 0 } },
  names: {
    make: `base; cd r; echo x >"$(printf 'caf\\351 \\n tab\\t')"; mkdir -- -dash 'a"b\\c'; echo y >-dash/-n; echo z >'a"b\\c/:(top)*'
      commit names; echo w >"$(printf 'new \\377')"`,
  },
  'line ends': {
    make: `base; cd r; git config core.autocrlf true; printf '*.sh eol=lf\\n*.dat -text\\n' >.gitattributes
      printf 'a\\r\\nb\\r\\n' >win.txt; printf 'a\\r\\n' >keep.dat; commit ends; rm win.txt; git checkout -q win.txt; printf 'more\\r\\n' >>win.txt`,
    inside: 'test "$(git config core.autocrlf)" = true; git diff | grep -q more',
  },
  'modes and links': {
    make: `base; cd r; ln -s src/a.txt link; ln -s /etc/passwd out; ln -s nowhere dangling; commit links; chmod 755 docs/c.md
      chmod 644 run.sh; rm link; ln -s docs link; rm out; echo file >out; echo c >src/deep/b.txt`,
    reread: ['src/deep/b.txt'],
  },
  sha256: {
    make: 'git init -q --object-format=sha256 r; base; echo x >r/new',
    inside: 'test "$(git rev-parse HEAD | wc -c)" = 65',
  },
  'packed references': {
    make: 'base; cd r; for i in $(seq 50); do git branch b/$i; git tag t$i; done; git gc -q; git branch late; git branch -q -D b/7',
    inside: 'test "$(git branch | wc -l)" = 51; test "$(git tag | wc -l)" = 51',
  },
  reftable: { make: 'git init -q --ref-format=reftable r; base; git -C r branch b', needs: 'ref-format' },
  'split index': {
    make: 'base; cd r; git update-index --split-index; echo x >>src/a.txt; git add .; ls .git/sharedindex.*',
    inside: 'test -z "$(ls .git | grep sharedindex)"',
  },
  'untracked cache': {
    make: 'base; cd r; git config core.untrackedCache true; git update-index --untracked-cache; echo x >new; GIT_OPTIONAL_LOCKS=1 git status -s',
  },
  'configuration of a work tree': {
    make: `base m; cd m; git config extensions.worktreeConfig true; git worktree add -q ../r; cd ../r
      git config --worktree core.autocrlf input; git config --worktree status.showUntrackedFiles no; echo x >new`,
    inside: 'test "$(git config core.autocrlf)" = input; no git config extensions.worktreeConfig',
  },
  'separate git directory': {
    make: 'base; cd r; git init -q --separate-git-dir ../apart.git; echo x >new',
    inside: 'test -d .git',
  },
  'repository below a repository': { make: 'base p; base p/r; echo x >p/r/new', seed: 'p/r' },
  'repositories inside': {
    make: 'base; base r/mine; echo x >r/mine/new; base r/ignored-one; git -C r/mine remote add o https://t:s3cret@example.org/x',
    inside:
      'git -C mine status --porcelain | grep -qx "?? new"; git -C mine fsck; no grep -r s3cret mine; test ! -e ignored-one',
  },
  'unchanged by decree': {
    make: 'base; cd r; git update-index --assume-unchanged src/a.txt; git update-index --skip-worktree run.sh; echo x >src/a.txt; rm run.sh',
  },
  'what was taken back': {
    make: 'base; cd r; echo s3cret >key; commit oops; git rm -q key; git commit -q --amend --allow-empty -m fine',
    inside:
      'no git cat-file -e $(echo s3cret | git hash-object --stdin); test -z "$(git fsck --unreachable)"; test ! -e .git/logs/HEAD',
  },
}

/** What this machine's git can make. */
export const gitKnows = (option: string): boolean =>
  spawnSync('git', ['init', '-h'], { encoding: 'utf8', env: GIT_ENV }).stdout.includes(option)

/** Makes one below the folder; the answer is what to seed. */
export function makeShape(folder: string, name: string, { make, seed = 'r' }: Shape, user?: User): string {
  const at = join(folder, name.replaceAll(' ', '-'))
  mkdirSync(at)
  if (user) chownSync(at, user.uid, user.gid)
  script(at, make, user)
  return join(at, seed)
}

export function script(cwd: string, text: string, user?: User): string {
  const who = user ? { uid: user.uid, gid: user.gid } : {}
  return execFileSync('bash', ['--norc', '-euc', `${PRELUDE}\n${text}`], {
    cwd,
    env: GIT_ENV,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'pipe'],
    ...who,
  })
}
