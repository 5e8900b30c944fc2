import { describe, expect, test } from 'vitest'
import type { DiskMedium } from '../../../src/backend/backend.ts'
import { qemuProgram, type QemuMachine } from '../../../src/backend/qemu/command.ts'
import { fence, settle } from '../../../src/backend/qemu/limits.ts'

const medium: DiskMedium = {
  kind: 'disk',
  disks: [
    { name: 'env', path: '/images/env', readOnly: true },
    { name: 'base', path: '/images/base', readOnly: true },
    { name: 'changes', path: '/images/changes', readOnly: false },
  ],
  owner: { uid: 7, gid: 7 },
  inspect: false,
}
const machine: QemuMachine = {
  id: 'ws-1',
  limits: { enforcement: 'full', vcpu_count: 2, mem_mib: 512, pids_limit: 300, disk_mib: 1024, notes: [] },
  medium,
  machine: 'microvm',
  accel: { kind: 'tcg', tscKHz: 2_596_124 },
  kernel: '/guest/vmlinux',
  initramfs: '/guest/initramfs',
  sockets: { control: '/r/c', bulk: '/r/b', network: '/r/n', qmp: '/r/q' },
}
const options = (args: string[], name: string) =>
  args.flatMap((arg, index) => (arg === name ? [args[index + 1]!] : []))

/** Every descriptor that the arguments refer to, with what it is used for. */
function uses(args: string[]): Map<number, string> {
  const found = new Map<number, string>()
  for (const chardev of options(args, '-chardev')) {
    const [, id, fd] = /^socket,id=(\w+),fd=(\d+),server=on,wait=off$/.exec(chardev) ?? []
    if (fd) found.set(Number(fd), id!)
  }
  for (const name of ['-kernel', '-initrd'])
    for (const path of options(args, name))
      found.set(Number(/^\/proc\/self\/fd\/(\d+)$/.exec(path)?.[1]), name)
  for (const added of options(args, '-add-fd')) {
    const [, fd, set] = /^fd=(\d+),set=(\d+)$/.exec(added)!
    expect(set).toBe(fd)
    found.set(Number(fd), args.find((arg) => arg.includes(`/dev/fdset/${fd}`))!)
  }
  return found
}

describe('a QEMU command line', () => {
  test('refers to exactly the descriptors that are handed over, in their order, and to no path', () => {
    for (const change of [
      {},
      { machine: 'q35' },
      { initramfs: null },
      { accel: { kind: 'kvm', descriptor: true } },
    ] as const) {
      const { args, sockets, files } = qemuProgram({ ...machine, ...change })
      const used = uses(args)
      expect([...used.keys()].sort((a, b) => a - b)).toEqual(
        [...sockets, ...files].map((_, index) => index + 3),
      )
      expect(sockets.map((path, index) => [path, used.get(index + 3)])).toEqual([
        ['/r/c', 'control'],
        ['/r/b', 'bulk'],
        ['/r/n', 'network'],
        ['/r/q', 'qmp'],
      ])
      for (const [index, { path, write }] of files.entries()) {
        const use = used.get(index + 3 + sockets.length)!
        if (path === '/guest/vmlinux') expect(use).toBe('-kernel')
        else if (path === '/guest/initramfs') expect(use).toBe('-initrd')
        else if (path === '/dev/kvm') expect([use, write]).toEqual([expect.stringMatching(/^kvm,/), true])
        else {
          expect(use).toContain(`node-name=${path.replace('/images/', '')}-file`)
          expect(use).toContain(write ? 'read-only=off,locking=on' : 'read-only=on,locking=off')
          expect(write).toBe(path === '/images/changes')
        }
      }
      expect(args.join(' ')).not.toMatch(/\/(images|guest|r)\//)
    }
  })

  test('gives a machine nothing that it was not to have', () => {
    const { args } = qemuProgram(machine)
    for (const flag of ['-nodefaults', '-no-user-config', '-no-reboot']) expect(args).toContain(flag)
    expect([options(args, '-nic'), options(args, '-display')]).toEqual([['none'], ['none']])
    expect(options(args, '-sandbox')).toEqual([
      'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny',
    ])
    expect(args.join(' ')).not.toMatch(/usb=on|netdev|virtio-net|vga|balloon/)
    expect(options(args, '-smp')).toEqual(['2'])
    expect(options(args, '-m')).toEqual(['512M'])
    expect(options(args, '-device').filter((device) => device.startsWith('virtserialport'))).toEqual([
      'virtserialport,chardev=control,name=pyro.control,nr=1',
      'virtserialport,chardev=bulk,name=pyro.bulk,nr=2',
      'virtserialport,chardev=network,name=pyro.network,nr=3',
    ])
  })

  test('what a guest syncs is synced; what is sealed is shared and stays as it is', () => {
    const { args } = qemuProgram(machine)
    const [env, , changes] = options(args, '-device').filter((device) => device.startsWith('virtio-blk'))
    expect(env).toBe('virtio-blk-device,drive=env,serial=env,write-cache=off')
    expect(changes).toBe('virtio-blk-device,drive=changes,serial=changes,write-cache=on')
    for (const file of options(args, '-blockdev').filter((text) => text.startsWith('driver=file')))
      expect(file).toContain('cache.direct=off,cache.no-flush=off')
    const disks = medium.disks.map((disk) => ({ ...disk, readOnly: true }))
    const looked = qemuProgram({ ...machine, medium: { ...medium, disks, inspect: true } })
    expect(looked.files.some(({ write }) => write)).toBe(false)
    expect(looked.args.join(' ')).not.toContain(',read-only=off')
  })

  test('the kernel is told what it cannot find out, and under KVM keeps its mitigations', () => {
    const [emulated] = options(qemuProgram(machine).args, '-append')
    expect(emulated).toBe(
      'console=ttyS0 quiet panic=-1 reboot=t tsc_early_khz=2596124 no_timer_check noreplace-smp tsc=reliable nokaslr ' +
        'mitigations=off cryptomgr.notests GOMAXPROCS=1 pyro.mode=run pyro.env=serial:env pyro.base=serial:base pyro.changes=serial:changes ' +
        'pyro.channel=virtio pyro.pids=300',
    )
    const [looking] = options(
      qemuProgram({ ...machine, medium: { ...medium, disks: [medium.disks[0]!], inspect: true } }).args,
      '-append',
    )
    expect(looking).toMatch(/ pyro\.mode=inspect pyro\.env=serial:env pyro\.channel=virtio /)
    const kvm = qemuProgram({ ...machine, accel: { kind: 'kvm', descriptor: false } })
    expect(options(kvm.args, '-append')[0]).not.toMatch(/mitigations|tsc/)
    expect([options(kvm.args, '-accel'), options(kvm.args, '-cpu')]).toEqual([['kvm'], ['host']])
  })

  test('on a bus of its own kind', () => {
    const { args } = qemuProgram({ ...machine, machine: 'q35' })
    expect(options(args, '-M')).toEqual(['q35,usb=off'])
    expect(options(args, '-device').filter((device) => /^virtio-\w+-device/.test(device))).toEqual([])
  })
})

describe('limits', () => {
  test('a machine is as large as it says, by default and asked', () => {
    expect(settle({}, null, 8)).toEqual({
      enforcement: 'full',
      vcpu_count: 4,
      mem_mib: 1024,
      pids_limit: 4096,
      disk_mib: 16_384,
      notes: ['Accelerated by KVM.'],
    })
    const asked = { vcpu_count: 3, mem_mib: 128, pids_limit: 16, disk_mib: 64 }
    expect(settle(asked, 'Emulation was asked for.', 8)).toMatchObject({
      ...asked,
      notes: [expect.stringMatching(/^Emulated.*Emulation was asked for\.$/)],
    })
  })
  test('no more CPUs than there are, and it says so', () => {
    expect(settle({ vcpu_count: 9 }, null, 2)).toMatchObject({
      vcpu_count: 2,
      notes: [expect.stringMatching(/no more/), expect.stringMatching(/KVM/)],
    })
    expect(settle({ vcpu_count: 256 }, null, 64).vcpu_count).toBe(32)
  })
  test('not less memory than it starts in', () => {
    expect(() => settle({ mem_mib: 127 }, null)).toThrow(expect.objectContaining({ code: 'not_supported' }))
  })
  test('the fence is around more than the guest', () => {
    const { limits } = machine
    expect(fence('/pyro-ws-1', limits, false)).toEqual({
      path: '/pyro-ws-1',
      cpu: 2.5,
      memory: 768 * 1_048_576,
      pids: 130,
    })
    expect(fence('/pyro-ws-1', limits, true).memory).toBe(1024 * 1_048_576)
  })
})
