import { chmodSync, mkdirSync, realpathSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { DiskMedium } from '../../../src/backend/backend.ts'
import { inJail, jailOf, programOf, socketOf } from '../../../src/backend/firecracker/place.ts'
import { atLeast, type Found, findFirecracker } from '../../../src/backend/firecracker/probe.ts'
import { newFolder } from '../../support/engine.ts'

const found: Found = {
  firecracker: '/opt/firecracker-v1.16.1-x86_64',
  version: [1, 16, 1],
  jailer: '/opt/jailer-v1.16.1-x86_64',
}
const medium: DiskMedium = {
  kind: 'disk',
  disks: [
    { name: 'env', path: '/cache/root.erofs', readOnly: true },
    { name: 'changes', path: '/home/changes.img', readOnly: false },
  ],
  owner: { uid: 5000, gid: 6000 },
  inspect: false,
}
const guest = { kernel: '/cache/vmlinux', initramfs: '/cache/initramfs' }
const jail = (mode: 'root' | 'user', change: Partial<DiskMedium> = {}) =>
  jailOf({ id: 'ws-1', mode, stage: '/stage', runtimeDir: '/run/p' }, found, { ...medium, ...change }, guest)

describe('the jail', () => {
  test('as root it is where the jailer will look, with room for device nodes', () => {
    expect(jail('root')).toEqual({
      dir: '/stage/ws-1',
      root: 'firecracker-v1.16.1-x86_64/ws-1/root',
      devices: true,
      owner: medium.owner,
      sockets: '/run/p/ws-1',
      files: [
        { source: '/cache/vmlinux', name: 'kernel', read_only: true },
        { source: '/cache/initramfs', name: 'initramfs', read_only: true },
        { source: '/cache/root.erofs', name: 'disk-env', read_only: true },
        { source: '/home/changes.img', name: 'disk-changes', read_only: false },
      ],
    })
    expect(inJail(jail('root'))('kernel')).toBe('/kernel')
  })
  test('as an ordinary user there is no other root, and no device', () => {
    expect(jail('user')).toMatchObject({ root: '', devices: false })
    expect(inJail(jail('user'))('run/v')).toBe('/stage/ws-1/run/v')
    expect(socketOf('/run/p', 'ws-1', 'run/v')).toBe('/run/p/ws-1/v')
  })
  test('what a machine may write to is what its disks say, also of one that only looks', () => {
    const writable = (change: Partial<DiskMedium>) =>
      jail('root', { inspect: true, ...change }).files.flatMap(({ name, read_only }) =>
        read_only ? [] : name,
      )
    expect(writable({})).toEqual(['disk-changes'])
    expect(writable({ disks: medium.disks.map((disk) => ({ ...disk, readOnly: true })) })).toEqual([])
  })
})

describe('the program', () => {
  test('as root: the jailer, which becomes the machine’s user', () => {
    expect(programOf('ws-1', found, jail('root'))).toEqual({
      program: '/opt/jailer-v1.16.1-x86_64',
      args: [
        ...['--id', 'ws-1', '--exec-file', '/opt/firecracker-v1.16.1-x86_64'],
        ...['--uid', '5000', '--gid', '6000', '--chroot-base-dir', '/stage/ws-1'],
        ...['--', '--api-sock', '/run/a', '--level', 'Error', '--show-level'],
      ],
      privileged: true,
    })
  })
  test('as an ordinary user: Firecracker itself, with its system call filter', () => {
    const { program, args, privileged, keep_groups } = programOf('ws-1', found, jail('user'))
    expect(program).toBe(found.firecracker)
    expect(args).toEqual([
      ...['--id', 'ws-1', '--api-sock', '/stage/ws-1/run/a', '--level', 'Error', '--show-level'],
    ])
    expect(privileged).toBeUndefined()
    // A subordinate user opens /dev/kvm by one of the engine's groups.
    expect(keep_groups).toBe(true)
  })
})

describe('which Firecracker', () => {
  const folder = newFolder()
  let count = 0
  /** A program that says something when it is asked for its version. */
  function program(says: string, name = 'firecracker'): string {
    const dir = join(folder, `${++count}`)
    mkdirSync(dir)
    writeFileSync(join(dir, name), `#!/bin/sh\n[ "$1" = --version ] && ${says}\n`)
    chmodSync(join(dir, name), 0o755)
    return join(dir, name)
  }
  const look = (env: NodeJS.ProcessEnv) => findFirecracker(env).catch((error) => error)

  test('the named one, or the first on PATH, by its real path', async () => {
    const one = program("echo 'Firecracker v1.16.1'; echo; echo 'log line'")
    expect(await look({ PYRO_FIRECRACKER: one, PATH: '/none' })).toEqual({
      firecracker: one,
      version: [1, 16, 1],
      jailer: null,
    })
    const link = join(folder, 'link')
    mkdirSync(link)
    symlinkSync(one, join(link, 'firecracker'))
    expect(await look({ PATH: `relative:${link}` })).toMatchObject({ firecracker: realpathSync(one) })
  })
  test('its jailer lies beside it under either name, or is named', async () => {
    const one = program("echo 'Firecracker v1.12.1'", 'firecracker-v1.12.1-x86_64')
    const jailer = join(one, '../jailer-v1.12.1-x86_64')
    writeFileSync(jailer, '', { mode: 0o755 })
    expect(await look({ PYRO_FIRECRACKER: one })).toMatchObject({ jailer })
    expect(await look({ PYRO_FIRECRACKER: one, PYRO_JAILER: '/bin/true' })).toMatchObject({
      jailer: realpathSync('/bin/true'),
    })
  })
  test.each([
    ['an older one', "echo 'Firecracker v1.7.0'"],
    ['another program', 'echo hello'],
    ['one that fails', 'exit 3'],
    ['one that says too much', 'head -c 1000000 /dev/zero'],
  ])('%s is not taken', async (_, says) => {
    expect(await look({ PYRO_FIRECRACKER: program(says) })).toMatchObject({ code: 'tool_missing' })
  })
  test('none, or a name that is no absolute path of a program, is not taken', async () => {
    for (const env of [{}, { PATH: '/none' }, { PYRO_FIRECRACKER: '/none' }, { PYRO_FIRECRACKER: folder }])
      expect(await look(env)).toMatchObject({ code: 'tool_missing', hint: expect.any(String) })
  })
  test('versions are numbers, not text', () => {
    expect(atLeast([1, 16, 1], [1, 8, 0])).toBe(true)
    expect(atLeast([1, 16, 0], [1, 16, 1])).toBe(false)
    expect(atLeast([2, 0, 0], [1, 16, 1])).toBe(true)
    expect(atLeast([1, 16, 1], [1, 16, 1])).toBe(true)
  })
})
