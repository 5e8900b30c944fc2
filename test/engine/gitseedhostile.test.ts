/** What a repository says is never done: not by seeding it, and not by what is seeded. */
import { execFileSync } from 'node:child_process'
import { chownSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newFolder, Refused, removeFolder, startEngine, type TestEngine } from '../support/engine.ts'
import { script } from '../support/repositories.ts'
import { addUser, isRoot, removeUser, type User } from '../support/users.ts'

/** Every setting of git that names a program, or a file with more settings; RAN is a script that leaves a trace. */
const SETTINGS = `
  [core]
    fsmonitor = RAN
    fsmonitorHookVersion = 1
    hooksPath = HOOKS
    sshCommand = RAN
    gitProxy = RAN
    pager = RAN
    editor = RAN
    askPass = RAN
    alternateRefsCommand = RAN
    attributesFile = ATTRIBUTES
    excludesFile = PIPE
    worktree = /etc
    splitIndex = true
    untrackedCache = true
  [filter "evil"]
    clean = RAN
    smudge = RAN
    process = RAN
    required = true
  [diff]
    external = RAN
  [diff "evil"]
    command = RAN
    textconv = RAN
  [merge "evil"]
    driver = RAN
  [alias]
    status = !RAN
    ls-files = !RAN
  [credential]
    helper = !RAN
  [uploadpack]
    packObjectsHook = RAN
  [remote "origin"]
    url = ext::RAN
    uploadpack = RAN
    receivepack = RAN
    vcs = evil
    promisor = true
  [remote "ext::RAN"]
    promisor = true
  [branch "main"]
    remote = ext::RAN
    merge = refs/heads/main
  [extensions]
    partialClone = ext::RAN
  [submodule "s"]
    url = ext::RAN
    update = !RAN
    active = true
  [gpg]
    program = RAN
  [log]
    showSignature = true
  [sequence]
    editor = RAN
  [interactive]
    diffFilter = RAN
  [protocol]
    allow = always
  [protocol "ext"]
    allow = always
  [include]
    path = MORE
  [includeIf "gitdir:/**"]
    path = MORE
  [http]
    extraHeader = Authorization: s3cret
  [url "ext::RAN"]
    insteadOf = https://`
const HOOKS =
  'applypatch-msg fsmonitor-watchman post-checkout post-commit post-index-change post-merge pre-commit reference-transaction'

let engine: TestEngine
let folder: string
beforeAll(async () => {
  folder = newFolder()
  engine = await startEngine({ folder })
})
afterAll(async () => {
  await engine.stop()
  removeFolder(folder)
})

const at = (name: string) => {
  const path = join(folder, name)
  mkdirSync(path)
  return path
}
const refused = async (input: object) => {
  const answer = await engine
    .call('workspace_create', { environment: 'host', ...input })
    .catch((error: unknown) => error)
  if (!(answer instanceof Refused)) throw new Error(`it was not refused: ${JSON.stringify(answer)}`)
  expect(
    existsSync(join(folder, 'home/workspaces')) ? readdirSync(join(folder, 'home/workspaces')) : [],
  ).toEqual([])
  return answer.body
}

/** A repository in the folder that says everything a hostile one can. */
function hostile(folder: string, user?: User): string {
  const ran = join(folder, 'ran')
  writeFileSync(join(folder, 'run'), `#!/bin/sh\ntouch ${ran}\ncat\n`, { mode: 0o755 })
  script(
    folder,
    `base; cd r; echo '* filter=evil diff=evil merge=evil text=auto' >.gitattributes; echo e >evil; commit evil
    for hook in ${HOOKS}; do cp ../run .git/hooks/$hook; chmod 755 .git/hooks/$hook; done
    mkdir ../hooks; cp .git/hooks/* ../hooks; printf '[core]\\n fsmonitor = %s\\n' ${folder}/run >../more
    echo '* filter=evil' >../attributes; cp ../attributes .git/info/attributes; mkfifo ../pipe
    sed -i 's/src/src/' src/a.txt; touch src/deep/b.txt; echo more >>docs/c.md; echo sub >>evil
    printf '%040d refs/heads/missing\\n' 1 >>.git/packed-refs; ln -s /etc/passwd .git/refs/heads/link; mkfifo .git/refs/heads/pipe
    ln -s /etc/shadow .git/MERGE_MSG; mkfifo .git/ORIG_HEAD; touch .git/index.lock .git/refs/heads/main.lock`,
    user,
  )
  const text = SETTINGS.replaceAll('RAN', join(folder, 'run')).replaceAll('HOOKS', join(folder, 'hooks'))
  const config = text
    .replaceAll('MORE', join(folder, 'more'))
    .replace('ATTRIBUTES', join(folder, 'attributes'))
  writeFileSync(join(folder, 'r/.git/config'), config.replace('PIPE', join(folder, 'pipe')), { flag: 'a' })
  return join(folder, 'r')
}

describe('hostile repositories', () => {
  test.each(['seed', 'all', 'repo', 'part', 'nested'])('nothing of one runs: %s', async (how) => {
    const dir = at(`hostile-${how}`)
    let path = hostile(dir)
    if (how === 'part') path = join(path, 'src')
    if (how === 'nested') {
      script(dir, 'base outer; mv r outer/inner')
      path = join(dir, 'outer')
    }
    // What serves a clone reads every reference, and waits for a pipe until it is ended.
    if (how === 'repo')
      script(path, 'rm .git/refs/heads/pipe .git/refs/heads/link; sed -i /missing/d .git/packed-refs')
    const given = how === 'repo' ? { repo: path } : { seed_path: path, seed_all: how === 'all' }
    const { workspace_id } = await engine.call('workspace_create', { environment: 'host', ...given })
    expect(existsSync(join(dir, 'ran'))).toBe(false)
    const inside = await engine.call('workspace_exec', {
      workspace_id,
      command: `set -e; test ${how} != nested || cd inner; test ${how} != part || exit 0
        git status >&2; git log -1 >&2; git diff >&2; cat .git/config
        ! grep -rIl -e ${dir} -e s3cret -e ext:: .git || exit 3; test ! -e .git/hooks; test ! -e .git/refs/heads/main.lock`,
    })
    expect(`${inside.exit_code} ${inside.exit_code === 0 ? '' : inside.stdout + inside.stderr}`).toBe('0 ')
    expect(inside.stdout).not.toMatch(
      /fsmonitor|hookspath|helper|filter|alias|include|program|editor|command/i,
    )
    expect(existsSync(join(dir, 'ran'))).toBe(false)
    await engine.call('workspace_delete', { workspace_id })
  })

  test.each<[string, string, string]>([
    ['a configuration that is a pipe', 'rm .git/config; mkfifo .git/config', 'git_failed'],
    ['a configuration that is none', 'printf "[core\\n" >.git/config', 'git_failed'],
    ['a HEAD that leads elsewhere', 'echo "ref: ../../../etc/passwd" >.git/HEAD', 'git_failed'],
    ['an index that is none', 'head -c 100000 /dev/urandom >.git/index', 'git_failed'],
    [
      'a format of the future',
      'git config core.repositoryFormatVersion 1; git config extensions.future 1',
      'git_failed',
    ],
  ])('%s is refused', async (_, break_, code) => {
    const dir = at(`broken-${_.replaceAll(' ', '-')}`)
    script(dir, `base; cd r; ${break_}`)
    const body = await refused({ seed_path: join(dir, 'r') })
    expect(body.code).toBe(code)
    expect(body.hint).toBeTruthy()
  })

  test('a file that leads to another repository of the user brings nothing in', async () => {
    const dir = at('foreign')
    script(
      dir,
      'base private; base; mkdir -p r/vendor/evil; echo "gitdir: ../../../private/.git" >r/vendor/evil/.git; echo x >r/vendor/evil/x',
    )
    for (const seed_all of [false, true]) {
      const made = await engine.call('workspace_create', {
        environment: 'host',
        seed_path: join(dir, 'r'),
        seed_all,
      })
      expect(made.workspace_seed.skipped).toEqual([{ path: 'vendor/evil/.git', reason: 'foreign' }])
      const { workspace_id } = made
      const left = await engine.call('workspace_exec', { workspace_id, command: 'ls -A vendor/evil' })
      expect(left.stdout).toBe(seed_all ? 'x\n' : '')
      await engine.call('workspace_delete', { workspace_id })
    }
  })
})

describe.skipIf(!isRoot)("another user's repositories", () => {
  let user: User
  beforeAll(() => {
    user = addUser(`pyroevil${process.pid}`)
  })
  afterAll(() => removeUser(user))

  test('nothing of one runs as root, and its user sees it alike', async () => {
    const dir = at('theirs')
    chownSync(dir, user.uid, user.gid)
    const path = hostile(dir, user)
    execFileSync('chown', ['-R', `${user.uid}:${user.gid}`, dir])
    const { workspace_id } = await engine.call('workspace_create', { environment: 'host', seed_path: path })
    expect(existsSync(join(dir, 'ran'))).toBe(false)
    const inside = await engine.call('workspace_exec', {
      workspace_id,
      command: 'git status --short; stat -c %u:%g . evil .git',
    })
    expect(inside.stdout).toBe(' M docs/c.md\n M evil\n0:0\n0:0\n0:0\n')
    await engine.call('workspace_delete', { workspace_id })
    rmSync(join(path, '.git/refs/heads/pipe'))
    expect((await refused({ repo: path })).code).toBe('repo_unreachable')
    expect(existsSync(join(dir, 'ran'))).toBe(false)
  })

  test('one that leads where its user may not read is refused', async () => {
    const dir = at('leading')
    script(dir, 'base closed; mkdir room; mv closed room/closed; chmod 700 room; mkdir theirs')
    writeFileSync(join(dir, 'theirs/.git'), `gitdir: ${dir}/room/closed/.git\n`)
    execFileSync('chown', ['-R', `${user.uid}:${user.gid}`, join(dir, 'theirs')])
    expect((await refused({ seed_path: join(dir, 'theirs') })).code).toBe('git_failed')
    script(dir, 'base lender; rm -r lender/.git/objects/??; chmod 755 lender')
    writeFileSync(join(dir, 'lender/.git/objects/info/alternates'), `${dir}/room/closed/.git/objects\n`)
    execFileSync('chown', ['-R', `${user.uid}:${user.gid}`, join(dir, 'lender')])
    expect((await refused({ seed_path: join(dir, 'lender') })).code).toBe('git_failed')
  })
})
