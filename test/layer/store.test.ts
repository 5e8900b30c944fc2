/** What both layer stores must do, asked with real sandboxes; and that a workspace moves between any two of them. */
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { PyroError } from '../../src/contract/errors.ts'
import type { HandService } from '../../src/hand/index.ts'
import type { LayerName, LayerStore, Subject } from '../../src/layer/store/store.ts'
import { testHand } from '../support/hand.ts'
import { type Stand, stand } from '../support/stand.ts'

const missing = ['qemu-system-x86_64', 'mkfs.erofs', 'mkfs.ext4', 'mmdebstrap'].filter(
  (name) => !['/usr/bin', '/usr/sbin'].some((folder) => existsSync(join(folder, name))),
)
const KINDS: LayerStore['kind'][] = missing.length > 0 ? ['directory'] : ['directory', 'disk']
if (missing.length > 0) console.warn(`the store of disks is not tested: ${missing.join(', ')} not installed`)

let hand: HandService
let folder: string
let source: string
const stands = new Map<LayerStore['kind'], Stand>()
const at = (kind: LayerStore['kind']): Stand => stands.get(kind)!

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 's'))
  chmodSync(folder, 0o755)
  hand = testHand(folder)
  source = join(folder, 'seed')
  mkdirSync(join(source, 'kept/deep'), { recursive: true })
  mkdirSync(join(source, 'gone/inner'), { recursive: true })
  mkdirSync(join(source, 'anew'))
  for (const name of ['kept/file', 'kept/deep/file', 'gone/inner/file', 'anew/old', 'deleted'])
    writeFileSync(join(source, name), `${name} of the seed\n`)
  execFileSync('ln', [join(source, 'kept/file'), join(source, 'linked')])
  for (const kind of KINDS) stands.set(kind, stand(kind, hand, folder))
})
afterAll(async () => {
  for (const one of stands.values()) await one.clear()
  expect(readdirSync(join(folder, 'home/workspaces'))).toEqual([])
  await hand.close(true)
  rmSync(folder, { recursive: true, force: true })
})

/** Everything that a layer can hold of what a script can make. */
const SCRIPT = `
  echo more >>kept/file; rm deleted; rm -r gone; rm -r anew; mkdir anew; echo new >anew/new
  mkdir -p made/deep; head -c 300000 /dev/zero | tr '\\0' x >made/deep/big; ln made/deep/big made/second
  ln -s /etc/passwd made/absolute; ln -s ../kept/file made/relative; mkfifo made/pipe
  echo odd >"made/$(printf 'new\\nline \\377')"; chmod 640 made/second; chown 1000:1000 made/second
  chmod 4755 kept/deep/file; touch -d '2001-02-03 04:05:06.789012345' made/absolute made/deep made/deep/big
  truncate -s 5M made/sparse; sync`
const CHANGES = [
  'deleted anew/old',
  'added anew/new',
  'deleted deleted',
  'deleted gone',
  'deleted gone/inner',
  'deleted gone/inner/file',
  'modified kept/deep/file',
  'modified kept/file',
  'added made',
  'added made/absolute',
  'added made/deep',
  'added made/deep/big',
  'added made/new\nline �',
  'added made/pipe',
  'added made/relative',
  'added made/second',
  'added made/sparse',
].sort()

const said = async (store: LayerStore, of: Subject) => {
  const { entries, truncated, ...counts } = await store.scan(of, 1000)
  expect(truncated).toBe(false)
  expect(counts).toEqual({ added: 10, modified: 2, deleted: 5 })
  return entries.map(({ change, path }) => `${change} ${path}`).sort()
}
const code = (work: Promise<unknown>) =>
  work.then(
    () => 'done',
    (error: unknown) => (error instanceof PyroError ? error.code : error),
  )
const packed = async (store: LayerStore, of: Subject, layer: LayerName, name: string) => {
  const path = join(folder, `${name}.${layer}.tar`)
  const { digest } = await store.pack(of, layer, path)
  return { path, digest }
}

describe.each(KINDS)('store %s', (kind) => {
  let of: Subject

  beforeAll(async () => {
    of = await at(kind).create(source)
    await at(kind).sh(of, SCRIPT)
  }, 300_000)

  test('what was written is found by what it changed', async () => {
    expect(await said(at(kind).store, of)).toEqual(CHANGES)
  })

  test('files are read out, and nothing else', async () => {
    const { store } = at(kind)
    await store.open(of, null)
    const out = join(folder, `${kind}.out`)
    mkdirSync(out)
    const read = (path: string, output: string) =>
      store.read(of, { path, output: join(out, output), overwrite: false })
    expect(await read('made', 'tree')).toMatchObject({
      kind: 'directory',
      files: 4,
      skipped: [{ path: 'pipe', reason: 'special' }],
    })
    expect(await read('kept/file', 'file')).toMatchObject({ kind: 'file', files: 1 })
    expect(execFileSync('cat', [join(out, 'file')], { encoding: 'utf8' })).toBe(
      'kept/file of the seed\nmore\n',
    )
    expect(execFileSync('stat', ['-c', '%a %u %h %y', join(out, 'tree/second')], { encoding: 'utf8' })).toBe(
      execFileSync('stat', ['-c', '640 0 2 %y', join(out, 'tree/deep/big')], { encoding: 'utf8' }),
    )
    expect(await code(read('none', 'x'))).toBe('path_not_found')
    expect(await code(read('made/absolute', 'x'))).toBe('link_leaves')
    expect(await code(read('made', 'tree'))).toBe('output_exists')
    expect(readdirSync(out).sort()).toEqual(['file', 'tree'])
  })

  test('it takes what was written, not what it could', async () => {
    const usage = await at(kind).store.usage(of)
    expect(usage.baseline).toBeGreaterThan(0)
    expect(usage.baseline).toBeLessThan(1_048_576)
    expect(usage.written).toBeGreaterThan(300_000)
    expect(usage.written).toBeLessThan(64 * 1_048_576)
  })

  test.each(KINDS)(
    'moves to store %s and stays the same',
    async (other) => {
      const from = await packed(at(kind).store, of, 'workspace', `${kind}-to-${other}`)
      const baseline = await packed(at(kind).store, of, 'baseline', `${kind}-to-${other}`)
      const moved = await at(other).create('', async (to, store) => {
        expect((await store.unpack(to, 'baseline', baseline.path)).digest).toBe(baseline.digest)
        expect((await store.unpack(to, 'workspace', from.path)).digest).toBe(from.digest)
      })
      expect(await said(at(other).store, moved)).toEqual(CHANGES)
      const back = await packed(at(other).store, moved, 'workspace', `${kind}-to-${other}-back`)
      const below = await packed(at(other).store, moved, 'baseline', `${kind}-to-${other}-back`)
      expect(back.digest).toBe(from.digest)
      expect(below.digest).toBe(baseline.digest)
      expect(await at(other).sh(moved, 'cat kept/file; ls anew; stat -c %u:%a:%y made/second')).toBe(
        await at(kind).sh(of, 'cat kept/file; ls anew; stat -c %u:%a:%y made/second'),
      )
      expect(await code(at(other).store.pack(moved, 'workspace', back.path))).not.toBe('done')
    },
    120_000,
  )

  test('a sandbox that ended without order leaves everything that was flushed', async () => {
    await at(kind).sh(of, 'mkdir -p late/deep; echo late | dd of=late/deep/file conv=fsync 2>&1')
    await at(kind).stop(of)
    const { store } = at(kind)
    await store.open(of, null)
    const { entries } = await store.scan(of, 1000)
    expect(entries.map(({ path }) => path)).toContain('late/deep/file')
    expect(entries).toHaveLength(CHANGES.length + 3)
    const output = join(folder, `${kind}.ended`)
    expect(await store.read(of, { path: '.', output, overwrite: false })).toMatchObject({ kind: 'directory' })
  }, 120_000)

  test('dropped, it is gone, and dropping again is no error', async () => {
    await at(kind).store.drop(of)
    await at(kind).store.drop(of)
    expect(existsSync(join(folder, 'home/workspaces', of.id))).toBe(false)
  })
})
