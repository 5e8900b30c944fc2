// What becomes of a build in the cache: two engines share it, somebody damages it, it grows old, it is removed.
import { execFileSync } from 'node:child_process'
import {
  cpSync,
  existsSync,
  globSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { basename, dirname, join } from 'node:path'
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest'
import {
  killEngines,
  newFolder,
  type Refused,
  removeFolder,
  startEngine,
  type TestEngine,
} from '../support/engine.ts'
import { processesNaming } from '../support/leaks.ts'
import { isRoot } from '../support/users.ts'

const NAME = 'debian:12-base'
const BUILD_MS = 390_000
const missing = ['/usr/bin/mmdebstrap', '/usr/bin/apt-get'].filter((path) => !existsSync(path))

describe.skipIf(missing.length > 0)('builds in a cache', () => {
  const folders: string[] = []
  let cache: string
  /** Folder of the definition, and what it holds. */
  let definition: string
  let build: string

  const start = () => {
    const folder = newFolder()
    folders.push(folder)
    return startEngine({ folder, env: { PYRO_CACHE: cache } })
  }
  const stateOf = async (engine: TestEngine) =>
    (await engine.call('env_list', {})).environments.find(({ name }) => name === NAME)
  const refusal = async (work: Promise<unknown>) => ((await work.catch((error) => error)) as Refused).body

  /** A build is the same wherever it lies, so a test has its own without building. */
  beforeAll(async () => {
    const folder = newFolder()
    folders.push(folder)
    cache = join(folder, 'cache')
    const first = await startEngine(isRoot ? {} : { env: { PYRO_CACHE: cache } })
    const { root } = await first.call('env_pull', { environment: NAME, backend: 'oci' })
    build = dirname(root)
    if (isRoot) {
      definition = join(cache, 'environments', basename(dirname(dirname(build))), basename(dirname(build)))
      mkdirSync(definition, { recursive: true, mode: 0o700 })
      execFileSync('cp', ['-a', build, join(dirname(build), 'current'), definition])
      build = join(definition, basename(build))
      rmSync(join(build, 'users'), { recursive: true, force: true })
    } else definition = dirname(build)
    await first.stop()
    removeFolder(first.folder)
  }, BUILD_MS)
  afterEach(killEngines)
  afterAll(() => {
    for (const folder of folders) {
      expect(processesNaming(folder)).toEqual([])
      execFileSync(isRoot ? 'rm' : 'true', ['-rf', folder])
    }
  })

  test('it is warm wherever it lies, and all of it is what was built', async () => {
    const engine = await start()
    expect(await stateOf(engine)).toMatchObject({ state: 'warm', reason: null })
    const seen = await engine.call('env_inspect', { environment: NAME, verify: true })
    expect(seen).toMatchObject({ state: 'warm', verified: true, cache_path: join(build, 'root') })
    expect(seen.checksum?.slice(7, 23)).toBe(basename(build))
    expect(seen.entries).toBeGreaterThan(5000)
    const kept = await engine.call('env_pull', { environment: NAME, backend: 'oci' })
    expect(kept).toMatchObject({ action: 'kept', reason: null, checksum: seen.checksum, bytes: seen.bytes })
    await engine.stop()
  }, 60_000)

  test('what a workspace of another home needs is not removed, and is said', async () => {
    const [one, other] = [await start(), await start()]
    const { workspace_id } = await other.call('workspace_create', { environment: NAME, name: 'theirs' })
    const body = await refusal(one.call('env_prune', { environment: NAME }))
    expect(body).toMatchObject({ code: 'environment_in_use', hint: expect.stringContaining('delete') })
    expect(body.message).toContain(`${workspace_id} of ${other.home}`)
    const { kept, removed } = await one.call('env_prune', { all: true, dry_run: true })
    expect(removed.filter(({ what }) => what === 'environment')).toEqual([])
    expect(kept).toContainEqual(
      expect.objectContaining({
        path: build,
        reason: 'in_use',
        used_by: [{ workspace_id, name: null, home: other.home }],
      }),
    )
    await one.call('env_prune', { all: true })
    const { stdout } = await other.call('workspace_exec', { workspace_id, command: 'ps -o comm= -p $$' })
    expect(stdout).toBe('sh\n')
    // A home that is gone needs nothing any more, without having said so.
    await other.call('workspace_delete', { workspace_id })
    const [users] = [readdirSync(join(build, 'users'))]
    expect(users).toHaveLength(1)
    expect((await one.call('env_inspect', { environment: NAME })).used_by).toEqual([])
    await Promise.all([one.stop(), other.stop()])
  }, 120_000)

  test('what the archives have newer makes it stale: told without network, and workspaces are made as before', async () => {
    const path = join(build, 'manifest.json')
    const before = readFileSync(path, 'utf8')
    const manifest = JSON.parse(before)
    for (const one of manifest.snapshot)
      Object.assign(one, { date: 'Thu, 01 Jan 2015 00:00:00 UTC', sha256: '0' })
    manifest.packages.find(({ name }: { name: string }) => name === 'procps').version = '1:0.1'
    writeFileSync(path, JSON.stringify(manifest))
    const engine = await start()
    const listed = await stateOf(engine)
    expect(listed?.state).toBe('stale')
    expect(listed?.reason).toMatch(/1 packages: procps 1:0\.1 -> \d/)
    const doctor = await engine.call('doctor', { environment: NAME })
    expect(doctor.environment).toMatchObject({
      name: NAME,
      state: 'stale',
      reasons: expect.arrayContaining([listed!.reason]),
    })
    expect(doctor.environment!.pull!.packages).toBe(manifest.packages.length)
    expect(doctor.environment!.pull!.download_bytes).toBeGreaterThan(10e6)
    expect(doctor.environment!.pull!.disk_bytes).toBeGreaterThan(doctor.environment!.pull!.download_bytes)
    expect(doctor.checks.find(({ name }) => name === 'workspace')?.status).toBe('ok')
    expect(doctor.ok).toBe(true)
    writeFileSync(path, before)
    // Newer lists alone, with the same packages, are no reason to build.
    expect((await stateOf(engine))?.state).toBe('warm')
    await engine.stop()
  }, 120_000)

  test(
    'damage is noticed, said, and mended by the next pull, which two engines at once do together',
    async () => {
      const [one, other] = [await start(), await start()]
      const { workspace_id } = await one.call('workspace_create', { environment: NAME })
      expect(basename(build)).toBe(basename(globSync(join(definition, '[0-9a-f]*'))[0]!))
      rmSync(join(build, 'root/usr/bin/env'))
      for (const engine of [other]) {
        const body = await refusal(engine.call('workspace_create', { environment: NAME }))
        expect(body).toMatchObject({ code: 'environment_damaged', retryable: false })
        expect(body.hint).toContain(`pyro env pull ${NAME}`)
        expect(readdirSync(join(engine.home, 'workspaces'))).toEqual([])
      }
      expect(await stateOf(other)).toMatchObject({
        state: 'damaged',
        reason: expect.stringMatching(/entries/),
      })
      const doctor = await other.call('doctor', { environment: NAME })
      expect(doctor).toMatchObject({ ok: false, environment: { state: 'damaged' } })
      expect(doctor.checks.find(({ name }) => name === `environment ${NAME}`)).toMatchObject({
        status: 'missing',
        command: `pyro env pull ${NAME}`,
      })

      const since = Date.now()
      const pulls = await Promise.all(
        [one, other, one].map((engine) => engine.call('env_pull', { environment: NAME, backend: 'oci' })),
      )
      expect(new Set(pulls.map(({ root }) => root)).size).toBe(1)
      expect(pulls.map(({ action }) => action)).toEqual(['renewed', 'renewed', 'renewed'])
      expect(pulls[0]!.reason).toMatch(/entries/)
      // The damaged one made room and stays for the workspace that was made from it.
      const aside = readdirSync(definition).filter((name) => name.startsWith('damaged-'))
      expect(aside).toHaveLength(1)
      expect(globSync(join(definition, '*.tmp-*'))).toEqual([])
      expect(statSync(join(pulls[0]!.root, '../manifest.json')).mtimeMs).toBeGreaterThan(since)
      const run = await one.call('workspace_exec', { workspace_id, command: 'cat /etc/hostname' })
      expect(run).toMatchObject({ exit_code: 0 })
      for (const engine of [one, other]) {
        expect((await stateOf(engine))?.state).toBe('warm')
        expect(
          await engine.call('run', { environment: NAME, command: ['/usr/bin/env', 'true'] }),
        ).toMatchObject({ exit_code: 0 })
      }
      const first = await one.call('env_prune', {})
      expect(first.kept).toContainEqual(
        expect.objectContaining({ path: join(definition, aside[0]!), reason: 'in_use' }),
      )
      await one.call('workspace_delete', { workspace_id })
      const second = await one.call('env_prune', {})
      expect(second.removed.map(({ path }) => path)).toEqual([join(definition, aside[0]!)])
      expect(second.freed_bytes).toBeGreaterThan(100e6)
      build = dirname(pulls[0]!.root)
      await Promise.all([one.stop(), other.stop()])
    },
    BUILD_MS,
  )

  test('prune takes what was replaced and what was left, and with all everything that nobody needs', async () => {
    const engine = await start()
    const fake = (path: string) => {
      mkdirSync(join(path, 'root'), { recursive: true })
      writeFileSync(join(path, 'root/file'), Buffer.alloc(100_000))
      return path
    }
    const older = fake(join(definition, '0123456789abcdef'))
    const definitions = fake(join(dirname(definition), '00000000deadbeef/fedcba9876543210'))
    const unknown = fake(join(cache, 'environments/fedora-1/aaaa/bbbb'))
    const leftover = fake(join(definition, 'build.tmp-0123456789abcdef'))
    const kernel = fake(join(cache, 'guest/0123456789abcdef'))
    // Its name says host, and that a making of it never came to an end.
    cpSync(older, join(cache, 'environments/host/0000000000000000'), { recursive: true })
    const gone = [older, definitions, unknown, kernel, join(cache, 'environments/host/0000000000000000')]

    const dry = await engine.call('env_prune', { dry_run: true })
    expect(dry.removed.map(({ path }) => path).sort()).toEqual([...gone, definition].sort())
    expect(dry.removed.find(({ what }) => what === 'leftover')?.bytes).toBeGreaterThanOrEqual(100_000)
    expect(dry.freed_bytes).toBeGreaterThanOrEqual(600_000)
    for (const path of [...gone, leftover]) expect(existsSync(path), path).toBe(true)
    expect(dry.kept).toContainEqual(expect.objectContaining({ path: build, reason: 'current', used_by: [] }))

    const wet = await engine.call('env_prune', {})
    expect({ ...wet, dry_run: true }).toEqual(dry)
    for (const path of [...gone, leftover]) expect(existsSync(path), path).toBe(false)
    expect((await stateOf(engine))?.state).toBe('warm')

    const all = await engine.call('env_prune', { all: true })
    expect(all.removed.map(({ path }) => path)).toContain(build)
    expect(all.freed_bytes).toBeGreaterThan(100e6)
    expect((await stateOf(engine))?.state).toBe('cold')
    expect(globSync(join(cache, '{environments,guest}/**/{root,root.erofs,vmlinux}'))).toEqual([])
    expect(await engine.call('env_prune', { all: true })).toMatchObject({ freed_bytes: 0, removed: [] })
    expect(await refusal(engine.call('env_prune', { environment: 'debian:0' }))).toMatchObject({
      code: 'environment_not_found',
    })
    const doctor = await engine.call('doctor', { environment: NAME })
    expect(doctor.environment).toMatchObject({ state: 'cold', reasons: [] })
    expect(doctor.environment!.pull!.packages).toBeGreaterThan(80)
    await engine.stop()
  }, 60_000)
})
