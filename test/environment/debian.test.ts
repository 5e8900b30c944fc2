import { spawn, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, globSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newFolder, Refused, removeFolder, ROOT, startEngine, type TestEngine } from '../support/engine.ts'
import { processesNaming } from '../support/leaks.ts'
import { addUser, isRoot, removeUser, type User } from '../support/users.ts'

const NAME = 'debian:12-base'
/** A build downloads some 70 MB and runs hundreds of small programs; other tests run beside it. */
const BUILD_MS = 390_000

const childrenOf = (pid: number): number[] =>
  (spawnSync('pgrep', ['-P', String(pid)], { encoding: 'utf8' }).stdout.match(/\d+/g) ?? []).map(Number)

const missing = ['/usr/bin/mmdebstrap', '/usr/bin/mkfs.erofs', '/usr/bin/apt-get'].filter(
  (path) => !existsSync(path),
)

let user: User | undefined
afterAll(() => {
  if (user) removeUser(user)
})
const kinds: [string, () => User | undefined][] = isRoot
  ? [
      ['root', () => undefined],
      ['an ordinary user', () => (user ??= addUser(`pyrodeb${process.pid}`))],
    ]
  : [['an ordinary user', () => undefined]]

const images: { packages: unknown; sum: string; checksum: string | null }[] = []
afterAll(() => {
  // Whoever builds it, and when: the same packages give the same bytes.
  const [one, other] = images
  if (JSON.stringify(one?.packages) !== JSON.stringify(other?.packages)) return
  expect(one?.sum).toBe(other?.sum)
  expect(one?.checksum).toBe(other?.checksum)
})

describe.skipIf(missing.length > 0).each(kinds)(`${NAME} as %s`, (_name, who) => {
  let engine: TestEngine
  let folder: string

  beforeAll(async () => {
    const user = who()
    folder = newFolder(user)
    engine = await startEngine({ folder, user })
    // Two at once make one.
    const both = await Promise.all([engine.call('prepare', {}), engine.call('prepare', {})])
    expect(both[1]).toMatchObject({ root: both[0].root, image: both[0].image, guest: both[0].guest })
  }, BUILD_MS)
  afterAll(async () => {
    await engine.stop()
    expect(processesNaming(folder)).toEqual([])
    removeFolder(folder)
  })

  test('prepare says what is there, and does nothing twice', async () => {
    const again = await engine.call('prepare', { environment: NAME })
    expect(again).toMatchObject({ environment: NAME, state: 'ready', built: false })
    expect(again.duration_ms).toBeLessThan(2000)
    const { environments } = await engine.call('env_list', {})
    expect(environments.find(({ name }) => name === NAME)).toMatchObject({
      state: 'warm',
      reason: null,
      backends: ['oci', 'qemu', 'firecracker'],
    })
    expect((await engine.call('env_inspect', { environment: NAME })).cache_path).toBe(again.root)
    expect(await engine.call('prepare', { environment: 'host' })).toMatchObject({ image: null, guest: null })
  })

  test('the sealed tree has no devices, and nothing that says when it was built', async () => {
    const { root } = await engine.call('prepare', {})
    expect(readdirSync(join(root, 'dev'))).toEqual([])
    expect(readdirSync(join(root, 'workspace'))).toEqual([])
    expect(readFileSync(join(root, 'etc/machine-id'), 'utf8')).toBe('')
    expect(readdirSync(join(root, 'etc/apt/apt.conf.d')).filter((name) => /pyro|mmdeb/.test(name))).toEqual(
      [],
    )
    expect(readdirSync(join(root, 'var/cache/apt/archives'))).not.toContainEqual(
      expect.stringMatching(/\.deb$/),
    )
    for (const path of ['etc/passwd', 'var/lib/dpkg/status', 'home/pyro'])
      expect(statSync(join(root, path)).mtime.toISOString()).toBe('2023-06-10T00:00:00.000Z')
    // Beside it lie only locks: no half of a build.
    const beside = readdirSync(join(root, '../..')).filter((name) => !name.endsWith('.lock'))
    expect(beside.filter((name) => name.includes('.tmp-'))).toEqual([])
  })

  test('the image is an erofs of it, and its checksum is true', async () => {
    const { image, root } = await engine.call('prepare', {})
    const bytes = readFileSync(image!.path)
    expect(bytes.length).toBe(image!.bytes)
    // The superblock's magic, 1024 bytes in (Linux, fs/erofs/erofs_fs.h).
    expect(bytes.readUInt32LE(1024)).toBe(0xe0f5e1e2)
    const [sum] = readFileSync(`${image!.path}.sha256`, 'utf8').split(' ')
    expect(createHash('sha256').update(bytes).digest('hex')).toBe(sum)
    const { packages, checksum, ...inspected } = await engine.call('env_inspect', { environment: NAME })
    expect(inspected.image).toEqual({ ...image, sha256: sum })
    expect(root).toBe(inspected.cache_path)
    images.push({ packages, sum: sum!, checksum })
  })

  test('a kernel and an initramfs are there, and named by what they are made of', async () => {
    const { guest } = await engine.call('prepare', {})
    const { kernel, initramfs, fingerprint, kernel_version } = guest!
    expect(kernel).toContain(fingerprint)
    expect(kernel_version).toMatch(/^\d+\.\d+.*-cloud-/)
    if (process.arch === 'x64') expect(readFileSync(kernel).subarray(0, 4).toString('latin1')).toBe('\x7fELF')
    const archive = readFileSync(initramfs)
    expect(archive.subarray(0, 6).toString()).toBe('070701')
    for (const name of [
      'init',
      'modules/order',
      'modules/order.pci',
      'modules/order.vsock',
      'modules/erofs.ko',
    ])
      expect(archive.includes(`\0${name}\0`) || archive.includes(`${name}\0`), name).toBe(true)
  })

  test('a workspace in a container has its own Debian', async () => {
    const { workspace_id } = await engine.call('workspace_create', { environment: NAME })
    const out = async (command: string, more: object = {}) =>
      (await engine.call('workspace_exec', { workspace_id, command, ...more })).stdout.trim()
    expect(await out('. /etc/os-release; echo $ID $VERSION_ID')).toBe('debian 12')
    expect(await out('id')).toBe('uid=0(root) gid=0(root) groups=0(root)')
    expect(await out('id; echo $HOME; pwd', { user: 'pyro', cwd: '/home/pyro' })).toBe(
      'uid=1000(pyro) gid=1000(pyro) groups=1000(pyro)\n/home/pyro\n/home/pyro',
    )
    expect(await out('ps -o comm= -p 1; cat /etc/hosts')).toMatch(/^guest\n127\.0\.0\.1 localhost/)
    expect(
      await out('stat -c "%U %a" /usr/bin/passwd /var/mail /home/pyro; touch /usr/bin/mine && echo ok'),
    ).toBe('root 4755\nroot 2775\npyro 755\nok')
    expect(await out('touch mine && ls /workspace')).toBe('mine')
    expect(await out('dpkg --audit; dpkg -l procps | tail -1')).toMatch(/^ii +procps /)
    await engine.call('workspace_delete', { workspace_id })
  })
})

describe.skipIf(missing.length > 0)('a build that ends early', () => {
  let engine: TestEngine
  let folder: string
  const temps = () => globSync(join(folder, 'cache/environments/*/*/*.tmp-*'))
  const until = async (seen: () => boolean) => {
    for (const end = Date.now() + 60_000; !seen(); await sleep(50))
      if (Date.now() > end) throw new Error('it did not come')
  }
  const start = () => startEngine({ folder, env: { PYRO_CACHE: join(folder, 'cache') } })

  beforeAll(async () => {
    folder = newFolder()
    engine = await start()
  })
  afterAll(async () => {
    await engine.stop()
    removeFolder(folder)
  })

  test('leaves nothing when its caller goes away', async () => {
    const stop = new AbortController()
    const call = engine.call('prepare', {}, stop.signal).catch((error) => error)
    await until(() => temps().some((path) => existsSync(join(path, 'root/etc'))))
    stop.abort()
    expect(await call).toBeInstanceOf(Error)
    await until(() => temps().length === 0)
    const { environments } = await engine.call('env_list', {})
    expect(environments.find(({ name }) => name === NAME)?.state).toBe('cold')
  }, 120_000)

  test('leaves nothing when Ctrl-C ends the command, which says so', async () => {
    const child = spawn(join(ROOT, 'bin/pyro'), ['env', 'pull', NAME], { env: engine.env, stdio: 'pipe' })
    const ended = new Promise((resolve) => child.once('exit', resolve))
    let said = ''
    child.stderr.on('data', (text) => {
      said += text
    })
    await until(() => temps().some((path) => existsSync(join(path, 'root/etc'))))
    child.kill('SIGINT')
    expect(await ended).toBe(130)
    expect(said).toBe('error: The call was cancelled.\n')
    await until(() => temps().length === 0)
  }, 120_000)

  test('is not taken for whole when its engine was killed, and is cleaned by the next', async () => {
    const call = engine.call('prepare', {}).catch((error) => error)
    await until(() => temps().some((path) => existsSync(join(path, 'root/etc'))))
    const [left] = temps()
    // The hand is killed too: it would clean up.
    const { holder_pid } = await engine.call('daemon_status', {})
    const [hand] = childrenOf(holder_pid!)
    const tools = childrenOf(hand!)
    expect(tools).toHaveLength(1)
    process.kill(hand!, 'SIGKILL')
    await engine.kill()
    expect(await call).toBeInstanceOf(Error)
    await until(() => !existsSync(`/proc/${tools[0]}`))
    expect(existsSync(left!)).toBe(true)
    engine = await start()
    const { environments } = await engine.call('env_list', {})
    expect(environments.find(({ name }) => name === NAME)?.state).toBe('cold')
    const stop = new AbortController()
    const again = engine.call('prepare', {}, stop.signal).catch((error) => error)
    await until(() => !existsSync(left!) && temps().length === 1)
    stop.abort()
    await again
    await until(() => temps().length === 0)
  }, 120_000)

  test('an environment nobody knows is not found', async () => {
    await expect(engine.call('prepare', { environment: 'debian:0' })).rejects.toThrow(Refused)
  })
})
