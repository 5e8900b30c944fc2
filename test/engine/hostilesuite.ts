/**
 * Archives and paths that mean harm, asked of a whole engine: refused with a code, nothing left. The same for each backend and
 * each kind of user.
 */
import { execFileSync, spawn } from 'node:child_process'
import {
  chmodSync,
  chownSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { ErrorCode } from '../../src/contract/errors.ts'
import { newFolder, Refused, removeFolder, startEngine, type TestEngine } from '../support/engine.ts'
import { mountsBelow, processesNaming } from '../support/leaks.ts'
import { tarOf } from '../support/tar.ts'
import { isRoot, type User } from '../support/users.ts'
import { hostileArchives, MAX_BYTES, MAX_ENTRIES, packed, slowArchive } from './hostilearchives.ts'

export interface HostileSubject {
  name: string
  backend: 'oci' | 'qemu'
  environment: string
  user?: () => User
}

/** Where the refused ones would lie; ROOT stands for the test's folder. */
const FRESH = 'ROOT/asked/out/fresh'

/** Everything of ours that is there: what lies in our folders, and how many of the rest. */
function picture(folder: string) {
  const list = (path: string) => readdirSync(join(folder, path)).sort()
  return {
    home: list('home').filter((name) => !/^(pyro\.db|engine\.log)/.test(name)),
    workspaces: list('home/workspaces'),
    runs: list('home/run'),
    outside: list('.'),
    processes: processesNaming(folder).length,
    mounts: mountsBelow(folder).length,
  }
}

export function hostileSuite({ name, user, ...made }: HostileSubject): void {
  const slow = made.backend === 'oci' ? 1 : 6
  describe(name, { timeout: 30_000 * slow }, () => {
    let engine: TestEngine
    let folder: string
    let id: string
    let before: ReturnType<typeof picture>
    const at = (...parts: string[]) => join(folder, 'asked', ...parts)

    beforeAll(async () => {
      const who = user?.()
      folder = newFolder(who)
      layOut(join(folder, 'asked'))
      const env = { PYRO_SEED_MAX_BYTES: String(MAX_BYTES), PYRO_SEED_MAX_ENTRIES: String(MAX_ENTRIES) }
      engine = await startEngine({ folder, user: who, env })
      const kept = { ...made, seed_path: at('good.tgz'), name: 'kept' }
      id = (await engine.call('workspace_create', kept)).workspace_id
      before = picture(folder)
    }, 300_000)
    afterAll(async () => {
      await engine.stop()
      expect(processesNaming(folder)).toEqual([])
      expect(mountsBelow(folder)).toEqual([])
      expect(readdirSync(join(folder, 'home/workspaces'))).toEqual([])
      removeFolder(folder)
    })

    const code = async (work: Promise<unknown>) => {
      const answer = await work.catch((error: unknown) => error)
      return answer instanceof Refused ? answer.body.code : answer
    }
    async function nothingLeft(): Promise<void> {
      // Where the caller went away, undoing goes on for a moment.
      const names = async () => (await engine.call('workspace_list', {})).workspaces.map((one) => one.name)
      await expect.poll(names, { timeout: 20_000 }).toEqual(['kept'])
      await expect.poll(() => picture(folder), { timeout: 20_000 }).toEqual(before)
      expect(readFileSync(at('victim'), 'utf8')).toBe('safe')
      expect(readdirSync(at('out'))).toEqual(['null', 'old'])
      expect(readFileSync(at('out/old'), 'utf8')).toBe('old')
    }
    const there = (path: string) => path.replace('ROOT', folder)
    const create = (seed_path: string) => engine.call('workspace_create', { ...made, seed_path })
    const inside = async (command: string) =>
      (await engine.call('workspace_exec', { workspace_id: id, command })).stdout.trim()

    test.each(hostileArchives().map((one) => [one.name, one] as const))('archive: %s', async (_, one) => {
      writeFileSync(at('archive'), packed(one), { mode: 0o644 })
      expect(await code(create(at('archive')))).toBe(one.code)
      await nothingLeft()
    })

    test('archive: what is harmless without its marks comes without them', async () => {
      expect((await engine.call('workspace_status', { workspace_id: id })).workspace_seed).toMatchObject({
        origin_kind: 'archive',
        origin_ref: at('good.tgz'),
        files: 6,
        skipped_count: 1,
        skipped: [{ path: 'pipe', reason: 'special' }],
      })
      expect(await inside('stat -c %u:%g:%a:%h:%N -- * .wh.*; readlink link; cat hard; echo; ls dir')).toBe(
        [
          "0:0:755:2:'dir'",
          "0:0:755:2:'file'",
          "0:0:755:2:'hard'",
          "0:0:777:1:'link' -> 'dir/inner'",
          "0:0:644:1:'odd'$'\\n''name'",
          "0:0:644:1:'.wh..wh..opq'",
          "0:0:644:1:'.wh.file'",
          'dir/inner',
          'content',
          'inner',
        ].join('\n'),
      )
    })

    test('archive: interrupted while it is unpacked', async () => {
      writeFileSync(at('archive'), slowArchive(), { mode: 0o644 })
      for (const ms of [5, 40, 120]) {
        const ending = new AbortController()
        const creating = engine.call('workspace_create', { ...made, seed_path: at('archive') }, ending.signal)
        setTimeout(() => ending.abort(), ms)
        await expect(creating).rejects.toThrow()
        await nothingLeft()
      }
    })

    test.each<[ErrorCode, string]>([
      ['seed_unsupported', 'ROOT/asked/pipe'],
      ['seed_unsupported', 'ROOT/asked/to-pipe'],
      ['seed_unsupported', 'ROOT/asked/socket'],
      ['seed_unsupported', '/dev/zero'],
      ['seed_unsupported', 'ROOT/asked/victim'],
      ['seed_unsupported', '/proc/1/environ'],
      ['seed_unreadable', '/proc/self/cwd'],
      ['seed_unreadable', 'ROOT/asked/loop'],
      ['seed_unreadable', 'ROOT/asked/sticky/stranger'],
      ['seed_unreadable', 'ROOT/asked/sticky/stranger/sub'],
      ['seed_overlap', 'ROOT'],
      ['seed_overlap', 'ROOT/home'],
      ['seed_overlap', 'ROOT/home/workspaces'],
      ['seed_overlap', 'ROOT/asked/../home/run/../workspaces/'],
      ['seed_overlap', 'ROOT/asked/to-home'],
      ['seed_overlap', 'ROOT/home/pyro.db'],
      ['seed_not_found', 'ROOT/asked/new\nline'],
      ['seed_not_found', 'ROOT/asked/good.tgz/'],
      ['seed_not_found', 'ROOT/asked/good.tgz/..'],
      ['seed_not_found', `ROOT/${'n'.repeat(256)}`],
      ['invalid_input', `/${'n/'.repeat(2048)}`],
      ['invalid_input', 'ROOT/asked/src\0'],
      ['invalid_input', 'ROOT/asked/half\ud800'],
      ['invalid_input', 'ROOT/asked/bytes\ufffd'],
      ['invalid_input', '../asked'],
    ])('seed: %s for %j', async (expected, path) => {
      expect(await code(create(there(path)))).toBe(expected)
      await nothingLeft()
    })

    test('seed: a folder that becomes a link while it is copied shows nothing of where that leads', async () => {
      const swap = `cd ${at('swapped')}; while [ -d . ]; do mv -T a kept; ln -s ../secret a; rm a; mv -T kept a; ${slow === 1 ? '' : 'sleep 0.05; '}done`
      const swapper = spawnShell(swap)
      try {
        for (let round = 0; round < (slow === 1 ? 8 : 2); round++) {
          const done = await create(at('swapped')).catch((error: unknown) => error)
          if (done instanceof Refused) {
            expect(done.body).toMatchObject({ code: 'seed_changed', retryable: true })
            continue
          }
          const { workspace_id } = done as { workspace_id: string }
          const seen = await engine.call('workspace_exec', {
            workspace_id,
            command: 'cat */file a/file kept/file 2>/dev/null',
          })
          expect(seen.stdout).not.toContain('secret')
          await engine.call('workspace_delete', { workspace_id })
        }
      } finally {
        swapper()
      }
      await nothingLeft()
    })

    const EXPORTS: [ErrorCode, string, string][] = [
      ['output_unsuitable', 'file', 'ROOT/home'],
      ['output_unsuitable', 'file', 'ROOT/home/'],
      ['output_unsuitable', 'file', 'ROOT/home/new'],
      ['output_unsuitable', 'file', 'ROOT/asked/to-home/x'],
      ['output_unsuitable', 'file', 'ROOT/asked/../home/x'],
      ['output_unsuitable', 'file', 'ROOT'],
      ['output_unsuitable', 'file', '/'],
      ['output_unsuitable', 'file', 'ROOT/asked/out/..'],
      ['output_unsuitable', 'file', 'ROOT/asked/out/null'],
      ['output_unsuitable', 'file', 'ROOT/asked/sticky/stranger/x'],
      ['output_unsuitable', 'file', '/proc/self/cwd/x'],
      ['output_unsuitable', 'file', '/proc/x'],
      ['output_unsuitable', 'file', `ROOT/asked/out/${'n'.repeat(256)}`],
      ['output_parent_missing', 'file', 'ROOT/asked/out/old/x'],
      ['invalid_input', 'file', 'ROOT/asked/out/a\0b'],
      ['invalid_input', 'file', 'ROOT/asked/out/\udfff'],
      ['invalid_input', 'file', `/${'n/'.repeat(2048)}x`],
      ['path_outside_workspace', '../etc/passwd', FRESH],
      ['path_outside_workspace', '/workspace/../etc/passwd', FRESH],
      ['path_outside_workspace', 'file\0', FRESH],
      ['path_not_found', 'file/x', FRESH],
      ['path_not_found', 'no\nsuch', FRESH],
      ['path_not_found', 'n'.repeat(300), FRESH],
      ['link_leaves', 'leaves', FRESH],
      ['link_leaves', 'up/etc/passwd', FRESH],
      ['link_leaves', 'proc/1/environ', FRESH],
      ['not_exportable', 'fifo', FRESH],
      ['invalid_input', 'n/'.repeat(2100), FRESH],
    ]
    test.each(EXPORTS)('export: %s for %j to %j', async (expected, path, to) => {
      await inside(
        'ln -sfT /etc/passwd leaves; ln -sfT .. up; ln -sfT /proc proc; [ -e fifo ] || mkfifo fifo',
      )
      const asked = { workspace_id: id, path, output_path: there(to), overwrite: true }
      expect(await code(engine.call('workspace_export', asked))).toBe(expected)
      await nothingLeft()
    })

    test('export: odd names that harm nobody', async () => {
      const output_path = at('sub/new\nline')
      await engine.call('workspace_export', { workspace_id: id, path: 'odd\nname', output_path })
      expect(readFileSync(output_path, 'utf8')).toBe('odd')
    })
  })

  /** What the paths name. A stranger's link needs root to be made: another user could not belong to a stranger. */
  function layOut(asked: string): void {
    for (const part of ['', 'sub', 'out', 'secret', 'swapped', 'swapped/a', 'sticky', 'src'])
      mkdirSync(join(asked, part), { recursive: true, mode: 0o755 })
    const write = (path: string, content: string | Buffer) => writeFileSync(join(asked, path), content)
    write('victim', 'safe')
    write('out/old', 'old')
    write('secret/file', 'secret')
    for (let i = 0; i < 50; i++) write(`swapped/a/f${i}`, 'x'.repeat(i))
    write('swapped/a/file', 'public')
    write('good.tgz', packed({ tar: goodTar(), form: 'gzip' }))
    symlinkSync('loop', join(asked, 'loop'))
    symlinkSync('pipe', join(asked, 'to-pipe'))
    symlinkSync('../home', join(asked, 'to-home'))
    symlinkSync('../secret', join(asked, 'sticky/stranger'))
    execFileSync('mkfifo', [join(asked, 'pipe'), join(asked, 'out/null')])
    execFileSync('python3', [
      '-c',
      'import socket,sys; socket.socket(1).bind(sys.argv[1])',
      join(asked, 'socket'),
    ])
    if (isRoot) execFileSync('chown', ['-h', '54321:54321', join(asked, 'sticky/stranger')])
    chmodSync(join(asked, 'sticky'), 0o1777)
    const owner = user?.()
    if (owner) for (const part of ['out', 'sub']) chownSync(join(asked, part), owner.uid, owner.gid)
  }
}

/** Runs a script beside the test; the answer ends it. */
function spawnShell(script: string): () => void {
  const child = spawn('sh', ['-c', script], { stdio: 'ignore', detached: true })
  return () => void process.kill(-child.pid!, 'SIGKILL')
}

function goodTar(): Buffer {
  return tarOf(
    { name: './', type: '5', mode: 0o755 },
    { name: 'dir/', type: '5', mode: 0o2755 },
    { name: 'dir/inner', content: 'inner' },
    { name: 'file', content: 'content', mode: 0o6755, pax: { 'SCHILY.xattr.user.overlay.whiteout': 'y' } },
    { name: 'hard', type: '1', link: './file' },
    { name: 'link', type: '2', link: 'dir/inner' },
    { name: 'pipe', type: '6' },
    { name: '.wh.file' },
    { name: '.wh..wh..opq' },
    { name: 'odd\nname', content: 'odd' },
  )
}
