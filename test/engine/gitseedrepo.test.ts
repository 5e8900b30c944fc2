/** Workspaces that begin with a clone, and what of seeds is refused. */
import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ErrorCode } from '../../src/contract/errors.ts'
import { newFolder, Refused, removeFolder, startEngine, type TestEngine } from '../support/engine.ts'
import { processesNaming } from '../support/leaks.ts'
import { GIT_ENV, script } from '../support/repositories.ts'

let engine: TestEngine
let folder: string
let bare: string
let address: string
let server: Server
let asked = 0

beforeAll(async () => {
  folder = newFolder()
  engine = await startEngine({ folder })
  mkdirSync(join(folder, 'up'))
  script(
    join(folder, 'up'),
    `base; cd r; echo '*.bin filter=lfs' >.gitattributes; echo pointer >a.bin; ln -s run.sh link; commit three
    git checkout -q -b topic; echo t >topic; commit topic; git tag -a -m annotated v2; git checkout -q main
    git checkout -q --detach; echo pull >pull; commit pull; git update-ref refs/pull/1/head HEAD; git checkout -q main
    cd ..; git clone -q --mirror r served.git; git -C served.git update-server-info
    git -C served.git config uploadpack.allowAnySHA1InWant true`,
  )
  bare = join(folder, 'up/served.git')
  server = createServer((request, answer) => {
    asked++
    if (request.url!.startsWith('/stall')) return
    const proof = `Basic ${Buffer.from('us3r:s3cret/%').toString('base64')}`
    if (request.headers.authorization !== proof) {
      answer.writeHead(401, { 'www-authenticate': 'Basic realm="x"' }).end()
      return
    }
    const { pathname, search } = new URL(request.url!, 'http://x')
    const backend = spawn('git', ['http-backend'], {
      env: {
        ...GIT_ENV,
        GIT_PROJECT_ROOT: join(folder, 'up'),
        GIT_HTTP_EXPORT_ALL: '1',
        PATH_INFO: pathname,
        QUERY_STRING: search.slice(1),
        REQUEST_METHOD: request.method!,
        CONTENT_TYPE: request.headers['content-type'] ?? '',
        ...(request.headers['git-protocol']
          ? { GIT_PROTOCOL: request.headers['git-protocol'] as string }
          : {}),
        ...(request.headers['content-encoding']
          ? { HTTP_CONTENT_ENCODING: request.headers['content-encoding'] }
          : {}),
      },
    })
    request.pipe(backend.stdin)
    const parts: Buffer[] = []
    backend.stdout.on('data', (part: Buffer) => parts.push(part))
    backend.once('close', () => {
      const all = Buffer.concat(parts)
      const end = all.indexOf('\r\n\r\n')
      const lines = all.subarray(0, end).toString().split('\r\n')
      const headers = lines.map((line) => line.split(': ') as [string, string])
      const status = Number(headers.find(([name]) => name === 'Status')?.[1].slice(0, 3) ?? 200)
      answer.writeHead(status, Object.fromEntries(headers.filter(([name]) => name !== 'Status')))
      answer.end(all.subarray(end + 4))
    })
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  address = `127.0.0.1:${(server.address() as AddressInfo).port}`
}, 120_000)
afterAll(async () => {
  await engine.stop()
  server.closeAllConnections()
  server.close()
  removeFolder(folder)
})

const sha = (what: string) => script(bare, `git rev-parse ${what}`).trim()
const create = async (input: object, command: string) => {
  const made = await engine.call('workspace_create', { environment: 'host', ...input })
  const { workspace_id } = made
  const done = await engine.call('workspace_exec', { workspace_id, command: `set -e; ${command}` })
  expect(`${done.exit_code} ${done.stderr}`).toBe('0 ')
  await engine.call('workspace_delete', { workspace_id })
  return { seed: made.workspace_seed, said: done.stdout }
}
const refused = async (input: object) => {
  const answer = await engine
    .call('workspace_create', { environment: 'host', ...input })
    .catch((error: unknown) => error)
  if (!(answer instanceof Refused)) throw new Error(`it was not refused: ${JSON.stringify(answer)}`)
  const path = join(folder, 'home/workspaces')
  expect(existsSync(path) ? readdirSync(path) : []).toEqual([])
  return answer.body
}

describe('a clone', () => {
  test('of a path: its own branch, its files, no way back to this machine, and nothing to read again', async () => {
    const { seed, said } = await create(
      { repo: bare },
      `git status --porcelain=v2 --branch; git config --get-regexp '^remote' || true
      stat -c '%a %u' run.sh src/a.txt; readlink link; cat a.bin; ls -A; git fsck; test ! -e .git/hooks
      strace -qq -e trace=openat -o /tmp/t git status >/dev/null; grep -c -e 'a.txt' -e 'a.bin"' /tmp/t || true`,
    )
    expect(seed).toMatchObject({
      origin_kind: 'repository',
      origin_ref: bare,
      branch: 'main',
      ref: null,
      files: 7,
    })
    expect(seed.head).toBe(sha('main'))
    expect(said.split('\n')).toEqual(
      [
        `# branch.oid ${sha('main')}`,
        '# branch.head main',
        '# branch.upstream origin/main',
        '# branch.ab +0 -0',
        'remote.origin.fetch +refs/heads/*:refs/remotes/origin/*',
        '755 0',
        '644 0',
        'run.sh',
        'pointer',
        '.git\n.gitattributes\n.gitignore\na.bin\ndocs\nlink\nrun.sh\nsrc',
        '0',
        '',
      ]
        .join('\n')
        .split('\n'),
    )
  })
  test.each([
    ['topic', 'topic', 'topic'],
    ['refs/heads/topic', 'topic', 'topic'],
    ['v2', null, 'topic'],
    ['COMMIT', null, 'v1'],
    ['SHORT', null, 'v1'],
    ['refs/pull/1/head', null, 'refs/pull/1/head'],
  ])('at %s', async (asked, branch, what) => {
    const ref = asked === 'COMMIT' ? sha('v1') : asked === 'SHORT' ? sha('v1').slice(0, 9) : asked
    const { seed, said } = await create(
      { repo: `file://${bare}`, ref },
      'git status --porcelain; git rev-parse HEAD',
    )
    expect(seed).toMatchObject({ branch, ref, head: sha(`${what}^{commit}`) })
    expect(said).toBe(`${sha(`${what}^{commit}`)}\n`)
  })
  test('of an address with a password, which stays outside', async () => {
    const repo = `http://us3r:s3cret%2F%25@${address}/served.git`
    const { seed, said } = await create(
      { repo, ref: 'topic' },
      'git remote get-url origin; ls topic; ! grep -r -e s3cret -e us3r .git',
    )
    expect(said).toBe(`http://${address}/served.git\ntopic\n`)
    expect(seed.origin_ref).toBe(`http://${address}/served.git`)
    const wrong = await refused({ repo: repo.replace('s3cret', 's3cret0') })
    expect(wrong).toMatchObject({ code: 'repo_unreachable', retryable: true })
    expect(JSON.stringify(wrong)).not.toMatch(/s3cret|us3r/)
    expect(readFileSync(join(folder, 'home/engine.log'), 'utf8')).not.toMatch(/s3cret|us3r/)
  })
  test('that is given up leaves nothing, and no git', async () => {
    const before = asked
    const stop = new AbortController()
    const input = { environment: 'host', repo: `http://${address}/stall/x.git` }
    const made = engine.call('workspace_create', input, stop.signal).catch((error: unknown) => error)
    await expect.poll(() => asked, { timeout: 20_000 }).toBeGreaterThan(before)
    expect(processesNaming('/stall/x.git').length).toBeGreaterThan(0)
    stop.abort()
    await made
    await expect.poll(() => processesNaming('/stall/x.git'), { timeout: 20_000 }).toEqual([])
    await expect.poll(() => readdirSync(join(folder, 'home/workspaces')), { timeout: 20_000 }).toEqual([])
  })
  test('ends with an engine that is killed, and the next one leaves nothing of it', async () => {
    const other = await startEngine()
    const before = asked
    const made = other
      .call('workspace_create', { environment: 'host', repo: `http://${address}/stall/y.git` })
      .catch(() => {})
    await expect.poll(() => asked, { timeout: 20_000 }).toBeGreaterThan(before)
    await other.kill()
    await made
    await expect.poll(() => processesNaming('/stall/y.git'), { timeout: 20_000 }).toEqual([])
    const next = await startEngine({ folder: other.folder })
    await expect
      .poll(async () => (await next.call('workspace_list', {})).workspaces, { timeout: 20_000 })
      .toEqual([])
    expect(readdirSync(join(other.folder, 'home/workspaces'))).toEqual([])
    await next.stop()
    removeFolder(other.folder)
  })
})

describe('refused', () => {
  test.each<[ErrorCode, () => object]>([
    ['ref_not_found', () => ({ repo: bare, ref: 'nowhere' })],
    ['ref_not_found', () => ({ repo: bare, ref: '0123456' })],
    ['ref_not_found', () => ({ repo: bare, ref: `${'0'.repeat(39)}1` })],
    ['ref_not_found', () => ({ repo: bare, ref: 'refs/pull/2/head' })],
    ['repo_unreachable', () => ({ repo: join(folder, 'nothing') })],
    ['repo_unreachable', () => ({ repo: 'http://127.0.0.1:9/x.git' })],
    ['invalid_input', () => ({ repo: `ext::sh -c touch% ${folder}/ran` })],
    ['invalid_input', () => ({ repo: `ext::touch ${folder}/ran` })],
    ['invalid_input', () => ({ repo: `--upload-pack=touch ${folder}/ran` })],
    ['invalid_input', () => ({ repo: 'ssh://-oProxyCommand=touch/x' })],
    ['invalid_input', () => ({ repo: '-oProxyCommand=touch:x' })],
    ['invalid_input', () => ({ repo: 'ssh://git:s3cret@example.org/x' })],
    ['invalid_input', () => ({ repo: 'relative/path' })],
    ['invalid_input', () => ({ repo: bare, ref: '--upload-pack=x' })],
    ['invalid_input', () => ({ repo: bare, ref: 'a..b' })],
    ['invalid_input', () => ({ repo: bare, seed_path: folder })],
    ['invalid_input', () => ({ ref: 'main' })],
    ['invalid_input', () => ({ seed_all: true })],
    ['seed_bare', () => ({ seed_path: bare })],
  ])('%s %#', async (code, input) => {
    const body = await refused(input())
    expect(body.code).toBe(code)
    expect(body.message.length).toBeGreaterThan(10)
    if (code !== 'invalid_input') expect(body.hint).toBeTruthy()
    expect(JSON.stringify(body)).not.toContain('s3cret')
    expect(existsSync(join(folder, 'ran'))).toBe(false)
  })
})

describe('what is taken of a checkout', () => {
  test('below its top only the files, as the repository is not of that directory', async () => {
    mkdirSync(join(folder, 'sub'))
    script(join(folder, 'sub'), 'base; echo new >r/src/new; echo no >r/src/ignored')
    const { seed, said } = await create({ seed_path: join(folder, 'sub/r/src') }, 'ls -A')
    expect(said).toBe('a.txt\ndeep\nnew\n')
    expect(seed).toMatchObject({ origin_kind: 'git', branch: null, files: 3 })
    expect(seed.head).toMatch(/^[0-9a-f]{40}$/)
  })
  test('with all of it the ignored files too, and still a git directory of its own', async () => {
    mkdirSync(join(folder, 'all'))
    script(
      join(folder, 'all'),
      'base; cd r; echo i >ignored; base inner; git remote add o https://t:s3cret@example.org/x; cp .git/config inner/.git/config; touch .git/hooks/pre-commit',
    )
    const check = `cat ignored inner/docs/c.md; git status --porcelain; git -C inner status --porcelain; ! grep -r s3cret . ; test ! -e .git/hooks`
    const { seed, said } = await create({ seed_path: join(folder, 'all/r'), seed_all: true }, check)
    expect(said).toBe('i\ndoc\n?? inner/\n')
    expect(seed).toMatchObject({ origin_kind: 'git', branch: 'main' })
  })
  test('of a directory of repositories each', async () => {
    const { seed, said } = await create(
      { seed_path: join(folder, 'up') },
      'cd r; git status -sb; test ! -e .git/hooks',
    )
    expect(said).toBe('## main\n')
    expect(seed).toMatchObject({ origin_kind: 'directory', head: null, branch: null })
  })
})
