import { execFileSync, spawnSync } from 'node:child_process'
import { chownSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { seccompFilter } from '../../../src/backend/oci/seccomp/filter.ts'
import { PROFILE } from '../../../src/backend/oci/seccomp/profile.ts'
import { SYSCALLS, type SyscallTable } from '../../../src/backend/oci/seccomp/syscalls.gen.ts'

const root = process.getuid?.() === 0
const runtime = ['runc', 'crun'].find((name) => spawnSync(name, ['--version']).status === 0)

// Calls that need nothing but the filter's leave, made by Python through libc, so that each errno can be seen.
const PROBE = `
import ctypes, errno, os, socket, sys, json
libc = ctypes.CDLL(None, use_errno=True)
N = {'x86_64': dict(unshare=272, setns=308, mount=165, umount2=166, bpf=321, perf_event_open=298, keyctl=250, add_key=248,
                    kexec_load=246, io_uring_setup=425, userfaultfd=323, clone3=435, open_by_handle_at=304, fsopen=430,
                    personality=135, init_module=175, getpid=39),
     'aarch64': dict(unshare=97, setns=268, mount=40, umount2=39, bpf=280, perf_event_open=241, keyctl=219, add_key=217,
                    kexec_load=104, io_uring_setup=425, userfaultfd=282, clone3=435, open_by_handle_at=265, fsopen=430,
                    personality=92, init_module=105, getpid=172)}[os.uname().machine]
def call(name, *args):
    ctypes.set_errno(0)
    result = libc.syscall(N[name], *[ctypes.c_long(a) for a in args])
    return 'ok' if result >= 0 else errno.errorcode[ctypes.get_errno()]
def sock(family, kind):
    try:
        socket.socket(family, kind).close()
        return 'ok'
    except OSError as error:
        return errno.errorcode[error.errno]
out = {name: call(name, 0, 0, 0, 0, 0) for name in N if name not in ('personality', 'unshare')}
out['unshare'] = call('unshare', 0x10000000)
out['personality'] = call('personality', 0xffffffff)
out['personality_odd'] = call('personality', 0x0400000)
for name, family, kind in [('unix', 1, 1), ('inet', 2, 1), ('inet6', 10, 1), ('netlink', 16, 3), ('vsock', 40, 1),
                           ('alg', 38, 5), ('packet', 17, 3)]:
    out['socket_' + name] = sock(family, kind)
print(json.dumps(out))
`

// Installs the filter as the sandbox's init does, and becomes the program.
const CONFINED = `
import ctypes, os, sys
program = open('/filter', 'rb').read()
class Program(ctypes.Structure):
    _fields_ = [('length', ctypes.c_ushort), ('filter', ctypes.c_char_p)]
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(Program(len(program) // 8, program)), 0, 0) == 0, ctypes.get_errno()
os.execv(sys.argv[1], sys.argv[1:])
`

// A user namespace with every capability, so that a refusal can only come from the filter.
const bundleConfig = (rootfs: string, filter: string, args: string[]) => ({
  ociVersion: '1.0.2',
  root: { path: rootfs, readonly: false },
  hostname: 'seccomp',
  process: {
    terminal: false,
    user: { uid: 0, gid: 0 },
    args: ['/usr/bin/python3', '-c', CONFINED, ...args],
    cwd: '/tmp',
    env: ['PATH=/usr/bin:/bin', 'HOME=/tmp'],
    capabilities: Object.fromEntries(
      ['bounding', 'effective', 'permitted'].map((set) => [
        set,
        ['CAP_SYS_ADMIN', 'CAP_NET_RAW', 'CAP_SETUID', 'CAP_SETGID'],
      ]),
    ),
    noNewPrivileges: true,
  },
  mounts: [
    { destination: '/proc', type: 'proc', source: 'proc' },
    { destination: '/dev', type: 'tmpfs', source: 'tmpfs', options: ['mode=755'] },
    { destination: '/tmp', type: 'tmpfs', source: 'tmpfs', options: ['mode=1777'] },
    ...['/usr', '/bin', '/lib', '/lib64', '/etc/alternatives', '/etc/ssl'].map((path) => ({
      destination: path,
      source: path,
      type: 'bind',
      options: ['bind', 'ro'],
    })),
    { destination: '/filter', source: filter, type: 'bind', options: ['bind', 'ro'] },
    { destination: '/node', source: process.execPath, type: 'bind', options: ['bind', 'ro'] },
  ],
  linux: {
    namespaces: ['pid', 'ipc', 'uts', 'mount', 'network', 'user'].map((type) => ({ type })),
    uidMappings: [{ containerID: 0, hostID: 700_000, size: 65_536 }],
    gidMappings: [{ containerID: 0, hostID: 700_000, size: 65_536 }],
  },
})

describe.runIf(root && runtime)('the seccomp profile in a real sandbox', () => {
  let folder: string
  beforeAll(() => {
    folder = mkdtempSync('/tmp/pyro-seccomp-')
    mkdirSync(join(folder, 'rootfs'))
    writeFileSync(join(folder, 'filter'), seccompFilter())
    execFileSync('chmod', ['755', folder])
    // The runtime makes mount points in it as the sandbox's own root.
    chownSync(join(folder, 'rootfs'), 700_000, 700_000)
  })
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  function run(...args: string[]): string {
    writeFileSync(
      join(folder, 'config.json'),
      JSON.stringify(bundleConfig(join(folder, 'rootfs'), join(folder, 'filter'), args)),
    )
    const id = `pyro-seccomp-${process.pid}`
    const state = ['--root', join(folder, 'state')]
    try {
      return execFileSync(runtime!, [...state, 'run', '--bundle', folder, id], {
        encoding: 'utf8',
        timeout: 20_000,
        stdio: ['ignore', 'pipe', 'pipe'],
      })
    } finally {
      spawnSync(runtime!, [...state, 'delete', '--force', id])
    }
  }

  it('refuses what could reach the host and lets through what programs need', () => {
    const seen = JSON.parse(run('/usr/bin/python3', '-c', PROBE)) as Record<string, string>
    const refused = [
      'unshare',
      'setns',
      'mount',
      'umount2',
      'bpf',
      'perf_event_open',
      'keyctl',
      'add_key',
      'kexec_load',
      'io_uring_setup',
      'userfaultfd',
      'open_by_handle_at',
      'fsopen',
      'init_module',
      'personality_odd',
      'socket_vsock',
      'socket_alg',
      'socket_packet',
    ]
    expect(seen).toEqual({
      ...Object.fromEntries(refused.map((name) => [name, 'EPERM'])),
      clone3: 'ENOSYS',
      getpid: 'ok',
      personality: 'ok',
      socket_unix: 'ok',
      socket_inet: 'ok',
      socket_inet6: 'ok',
      socket_netlink: 'ok',
    })
  })

  it.each([
    [
      'bash',
      ['/bin/bash', '-c', 'for i in 1 2 3; do (sleep 0.01; echo $i) & done | sort; wait'],
      '1\n2\n3\n',
    ],
    [
      'git',
      [
        '/bin/bash',
        '-c',
        'git init -q r && cd r && echo a >a && git add . && git -c user.name=a -c user.email=a@a commit -qm a && git gc -q && git log --format=%s',
      ],
      'a\n',
    ],
    [
      'python',
      [
        '/usr/bin/python3',
        '-c',
        'import threading,subprocess as s;t=threading.Thread(target=lambda:print(s.check_output(["echo","hi"]).decode(),end=""));t.start();t.join()',
      ],
      'hi\n',
    ],
    [
      'node',
      [
        '/node',
        '-e',
        "new (require(\"worker_threads\").Worker)(\"console.log(require('child_process').execFileSync('echo',['hi']).toString().trim())\",{eval:true})",
      ],
      'hi\n',
    ],
  ])('runs %s', (_name, args, output) => {
    expect(run(...args)).toBe(output)
  })
})

/** What the kernel would do with a call: the instructions of classic BPF that our filters are made of. */
function verdict(filter: Buffer, audit: number, number: number, first = 0): number {
  let value = 0
  for (let at = 0; ; at++) {
    const [code, ifTrue, ifFalse, k] = [
      filter.readUInt16LE(8 * at),
      filter.readUInt8(8 * at + 2),
      filter.readUInt8(8 * at + 3),
      filter.readUInt32LE(8 * at + 4),
    ]
    const jump = (yes: boolean) => {
      at += yes ? ifTrue : ifFalse
    }
    if (code === 0x06) return k
    if (code === 0x20) value = k === 0 ? number : k === 4 ? audit : k === 16 ? first : 0
    else if (code === 0x05) at += k
    else if (code === 0x15) jump(value === k)
    else if (code === 0x25) jump(value > k)
    else if (code === 0x35) jump(value >= k)
    else if (code === 0x45) jump((value & k) !== 0)
    else throw new Error(`unknown instruction ${code}`)
  }
}

describe('the seccomp profile as data', () => {
  const [ALLOW, EPERM, ENOSYS] = [0x7fff0000, 0x00050001, 0x00050026]
  // AUDIT_ARCH_X86_64 and AUDIT_ARCH_AARCH64.
  const both = [
    { filter: seccompFilter('x64'), audit: 0xc000003e, table: SYSCALLS.x86_64 as SyscallTable },
    { filter: seccompFilter('arm64'), audit: 0xc00000b7, table: SYSCALLS.arm64 as SyscallTable },
  ]
  it('says the same of a call on x64 and on arm64', () => {
    const shared = Object.keys(both[0]!.table).filter((name) => both[1]!.table[name] !== undefined)
    expect(shared.length).toBeGreaterThan(200)
    for (const name of shared) {
      const [here, there] = both.map(({ filter, audit, table }) => verdict(filter, audit, table[name]!))
      expect([name, there]).toEqual([name, here])
    }
    for (const { filter, audit, table } of both) {
      for (const name of ['openat', 'newfstatat', 'execve', 'mmap', 'futex', 'ppoll', 'rt_sigreturn'])
        expect([name, verdict(filter, audit, table[name] ?? -1)]).toEqual([name, ALLOW])
      expect(verdict(filter, audit, table['clone3']!)).toBe(ENOSYS)
      expect(verdict(filter, audit, table['clone']!, 0x10000000)).toBe(EPERM)
      // AF_INET, AF_VSOCK.
      expect(verdict(filter, audit, table['socket']!, 2)).toBe(ALLOW)
      expect(verdict(filter, audit, table['socket']!, 40)).toBe(EPERM)
    }
  })
  it('kills on arm64 what is of another processor', () => {
    expect(verdict(both[1]!.filter, 0xc000003e, 0)).toBe(0x80000000)
  })
  it.each([
    // Linux, include/uapi/asm-generic/unistd.h: mount, umount2, unshare, setns, bpf, kexec_load, init_module, io_uring_setup.
    40,
    39, 97, 268, 280, 104, 105, 425,
  ])('refuses call %i on arm64', (number) => {
    expect(verdict(both[1]!.filter, both[1]!.audit, number)).toBe(EPERM)
  })
  it('names no call twice', () => {
    expect(new Set(PROFILE.allowed).size).toBe(PROFILE.allowed.length)
  })
  it.each(['x64', 'arm64'])('is a program for %s that ends on every path', (arch) => {
    const filter = seccompFilter(arch)
    const last = filter.length / 8 - 1
    for (let at = 0; at <= last; at++) {
      const [code, ifTrue, ifFalse, k] = [
        filter.readUInt16LE(8 * at),
        filter.readUInt8(8 * at + 2),
        filter.readUInt8(8 * at + 3),
        filter.readUInt32LE(8 * at + 4),
      ]
      const jumps = code === 0x05 ? [k] : (code & 7) === 0x05 ? [ifTrue, ifFalse] : code === 0x06 ? [] : [0]
      for (const jump of jumps) expect(at + 1 + jump).toBeLessThanOrEqual(last)
    }
    expect(filter.readUInt16LE(8 * last)).toBe(0x06)
  })
})
