import { chmodSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterAll, describe, expect, test } from 'vitest'
import { type DeviceFacts, kvmAccess, kvmWorks } from '../../../src/backend/qemu/kvm.ts'
import { chooseMachine, findQemu } from '../../../src/backend/qemu/probe.ts'
import { lastWords } from '../../../src/backend/machine.ts'

const folder = mkdtempSync(join(tmpdir(), 'probe-'))
afterAll(() => rmSync(folder, { recursive: true }))

function program(name: string, script: string): string {
  const path = join(folder, name)
  writeFileSync(path, `#!/bin/sh\n${script}\n`)
  chmodSync(path, 0o755)
  return path
}
const fake = (name: string, version: string, machines = 'microvm microvm (i386)') =>
  program(
    name,
    `case $1 in --version) echo 'QEMU emulator version ${version}';; *) printf '${machines}\\n';; esac`,
  )

describe('which QEMU', () => {
  test('one that is named, or found', async () => {
    const named = fake('seven', '7.2.22 (Debian 1:7.2)')
    expect(await findQemu({ PYRO_QEMU: named })).toMatchObject({
      path: named,
      version: [7, 2],
      machine: 'microvm',
    })
    fake('qemu-system-x86_64', '11.0.1', 'q35  Standard PC (Q35 + ICH9, 2009)')
    expect(await findQemu({ PATH: `relative:${folder}` })).toMatchObject({
      version: [11, 0],
      machine: 'q35',
    })
  })
  test('none on a processor that no machine type of ours has', async () => {
    await expect(findQemu({ PYRO_QEMU: fake('here', '9.0.0') }, 'arm64')).rejects.toMatchObject({
      code: 'not_supported',
      message: expect.stringContaining('arm64'),
      hint: expect.stringMatching(/Firecracker.*--backend oci/),
    })
  })
  test.each([
    ['none', async () => ({ PATH: '' })],
    ['one that is named and not there', async () => ({ PYRO_QEMU: join(folder, 'none') })],
    ['one that is too old', async () => ({ PYRO_QEMU: fake('six', '6.2.0') })],
    ['one that is something else', async () => ({ PYRO_QEMU: program('other', 'echo hello') })],
    ['one that fails', async () => ({ PYRO_QEMU: program('broken', 'exit 3') })],
    ['one that talks without end', async () => ({ PYRO_QEMU: program('endless', 'yes') })],
  ])('%s: says how to get one', async (_, env) => {
    await expect(findQemu(await env())).rejects.toMatchObject({
      code: 'tool_missing',
      hint: expect.stringContaining('apt-get install qemu-system-x86'),
    })
  })
  test('another file is asked anew', async () => {
    const path = fake('changing', '7.0.0')
    const before = await findQemu({ PYRO_QEMU: path })
    fake('changing', '8.2.0')
    utimesSync(path, 1, 1)
    const after = await findQemu({ PYRO_QEMU: path })
    expect([before.version, after.version]).toEqual([
      [7, 0],
      [8, 2],
    ])
    expect(after.fingerprint).not.toBe(before.fingerprint)
  })
  test('the machine that is wanted, or the first that it knows', () => {
    expect(chooseMachine(['q35', 'microvm', 'pc'])).toBe('microvm')
    expect(chooseMachine(['q35', 'pc'])).toBe('q35')
    expect(chooseMachine(['q35', 'microvm'], 'q35')).toBe('q35')
    const refusing = expect.objectContaining({ code: 'not_supported' })
    expect(() => chooseMachine(['q35'], 'microvm')).toThrow(refusing)
    expect(() => chooseMachine(['pc'], 'pc')).toThrow(refusing)
    expect(() => chooseMachine(['pc'])).toThrow(refusing)
  })
})

describe('/dev/kvm', () => {
  const nothing = { descriptor: false, groups: [], keepGroups: false }
  const facts = (mode: number, gid: number, change: Partial<DeviceFacts> = {}): DeviceFacts => ({
    device: { mode: 0o020000 | mode, gid },
    allowed: true,
    mode: 'root',
    groups: [],
    ...change,
  })
  test.each<[string, DeviceFacts, readonly [number, number], object]>([
    ['a newer QEMU is handed it', facts(0o600, 0), [8, 2], { ...nothing, descriptor: true }],
    ['open to all', facts(0o666, 104), [7, 2], nothing],
    ['root can give a group', facts(0o660, 104), [7, 2], { ...nothing, groups: [104] }],
    [
      'a user keeps one',
      facts(0o660, 104, { mode: 'user', groups: [1000, 104] }),
      [7, 2],
      { ...nothing, keepGroups: true },
    ],
  ])('%s', (_, device, version, access) => {
    expect(kvmAccess(device, version)).toEqual(access)
  })
  test.each<[string, DeviceFacts, RegExp | undefined]>([
    ['none', facts(0, 0, { device: null, allowed: false }), undefined],
    ['closed to this user', facts(0o660, 104, { mode: 'user', allowed: false }), /usermod -aG kvm/],
    ['only by an access list', facts(0o660, 104, { mode: 'user', groups: [1000] }), /chgrp kvm/],
    ["never root's group", facts(0o660, 0), /chgrp kvm/],
    ['nobody but root', facts(0o600, 104), /chgrp kvm/],
  ])('%s: why not, and what to do', (_, device, hint) => {
    const refused = kvmAccess(device, [7, 2])
    expect(refused).toMatchObject({ reason: expect.any(String) })
    expect((refused as { hint?: string }).hint).toEqual(
      hint === undefined ? undefined : expect.stringMatching(hint),
    )
  })

  test('is tried once for each QEMU and kernel', async () => {
    const file = join(folder, 'cache/kvm.json')
    const qemu = { path: '/q', fingerprint: 'q@1', version: [7, 2], machine: 'microvm' } as const
    let trials = 0
    const trial = async () => {
      trials += 1
      return trials === 1 ? 'it aborted' : null
    }
    expect(await kvmWorks(file, qemu, 'k1', trial)).toBe('it aborted')
    expect(await kvmWorks(file, qemu, 'k1', trial)).toBe('it aborted')
    expect(await kvmWorks(file, qemu, 'k2', trial)).toBeNull()
    expect(await kvmWorks(file, { ...qemu, fingerprint: 'q@2' }, 'k2', trial)).toBeNull()
    expect(trials).toBe(3)
    writeFileSync(file, 'not json')
    expect(await kvmWorks(file, qemu, 'k2', trial)).toBeNull()
    expect(trials).toBe(4)
  })
})

test("a console's last words are short and carry no control characters", () => {
  const path = join(folder, 'console')
  expect(lastWords(path)).toBe('')
  writeFileSync(
    path,
    `${'x'.repeat(9000)}\nfirst\n\x1b[31mred\x1b[0m\r\n\n\x07bell\x1b]0;title\x07\n  last\u202e \n`,
  )
  expect(lastWords(path)).toMatch(/^first; red; bell\]0;title; last/)
  expect(lastWords(path)).not.toMatch(/[\x00-\x1f\x7f]/)
  writeFileSync(path, 'y'.repeat(100_000))
  expect(lastWords(path).length).toBeLessThanOrEqual(600)
})
