// What doctor sees of a machine, shown machines of other kinds: trees of /proc, /sys and /etc made for each case.
import { chmodSync, mkdirSync, mkdtempSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { PyroError } from '../../src/contract/errors.ts'
import { controlGroups } from '../../src/engine/doctor/cgroups.ts'
import { failed } from '../../src/engine/doctor/finding.ts'
import { type Host, type HostOptions, hostOf } from '../../src/engine/doctor/host.ts'
import { subordinateIds } from '../../src/engine/doctor/ids.ts'
import { kvm } from '../../src/engine/doctor/kvm.ts'
import { machineChecks } from '../../src/engine/doctor/machine.ts'
import { userNamespaces } from '../../src/engine/doctor/namespaces.ts'
import { home, node, programs, space, watchers } from '../../src/engine/doctor/storage.ts'
import { surroundings } from '../../src/engine/doctor/surroundings.ts'
import { tools } from '../../src/engine/doctor/tools.ts'

type Files = Record<string, string>
const ANN = { uid: 1000, name: 'ann', groups: [1000] }
const ROOT_USER = { uid: 0, name: 'root', groups: [0] }

/** A machine with these files; a name of a program becomes one in /usr/bin. */
function machine(files: Files, options: HostOptions = {}, installed: string[] = []): Host {
  const root = mkdtempSync(join(tmpdir(), 'machine-'))
  const all = { ...files, ...Object.fromEntries(installed.map((name) => [`/usr/bin/${name}`, ''])) }
  for (const [path, content] of Object.entries(all)) {
    mkdirSync(dirname(join(root, path)), { recursive: true })
    writeFileSync(join(root, path), content)
    if (path.startsWith('/usr/bin/')) chmodSync(join(root, path), 0o755)
  }
  return hostOf({ root, user: ANN, env: { PATH: '/usr/bin' }, arch: 'x64', ...options })
}

const WHOLE = { '/proc/2/comm': 'kthreadd\n' }

describe('surroundings', () => {
  const DEBIAN = {
    ...WHOLE,
    '/etc/os-release': 'PRETTY_NAME="Debian 13"\n',
    '/proc/sys/kernel/osrelease': '6.12.1\n',
  }
  const status = (more: string) => ({ '/.dockerenv': '', '/proc/self/status': `Name:\tnode\n${more}\n` })

  test.each<[string, Host, string, RegExp, RegExp | null]>([
    ['a machine', machine(DEBIAN), 'ok', /^Debian 13, Linux 6\.12\.1$/, null],
    [
      'a machine that was made of an image',
      machine({ ...DEBIAN, '/.dockerenv': '' }),
      'ok',
      /^Debian 13/,
      null,
    ],
    [
      'a runner of GitHub',
      machine(DEBIAN, { env: { GITHUB_ACTIONS: 'true', CI: 'true' } }),
      'ok',
      /, for GitHub Actions$/,
      null,
    ],
    [
      'Docker as it is',
      machine(status('Seccomp:\t2\nCapBnd:\t00000000a80425fb'), { user: ROOT_USER }),
      'missing',
      /\(docker\) that may hold no other: its seccomp filter/,
      /^docker run --cap-add SYS_ADMIN .*systempaths=unconfined --volume pyro:/,
    ],
    [
      'Docker without the filter alone',
      machine(status('Seccomp:\t0\nCapBnd:\t00000000a80425fb'), { user: ROOT_USER }),
      'missing',
      /lacks CAP_SYS_ADMIN/,
      /^docker run --cap-add SYS_ADMIN/,
    ],
    [
      'Docker that may',
      machine(status('Seccomp:\t0\nCapBnd:\t000001ffffffffff'), { user: ROOT_USER }),
      'ok',
      /which may hold others/,
      null,
    ],
    [
      'Podman, with KVM',
      machine({ ...status('Seccomp:\t2'), '/run/.containerenv': '', '/dev/kvm': '' }),
      'missing',
      /\(podman\)/,
      /^podman run .*unmask=ALL --device \/dev\/kvm /,
    ],
    [
      'Kubernetes',
      machine(status('Seccomp:\t2'), { env: { KUBERNETES_SERVICE_HOST: '10.0.0.1' } }),
      'missing',
      /\(kubernetes\)/,
      /^kubectl run pyro --privileged/,
    ],
    [
      'a container of Docker with cgroups of version 1',
      machine({ '/proc/1/cgroup': '4:memory:/docker/0123\n', '/proc/self/status': 'Seccomp:\t2\n' }),
      'missing',
      /\(docker\)/,
      /^docker run/,
    ],
    [
      'WSL 2',
      machine({ ...DEBIAN, '/proc/sys/kernel/osrelease': '6.6.87.2-microsoft-standard-WSL2\n' }),
      'ok',
      /, in WSL 2$/,
      null,
    ],
    [
      'WSL 1',
      machine(
        { '/proc/sys/kernel/osrelease': '4.4.0-19041-Microsoft\n' },
        { env: { WSL_DISTRO_NAME: 'Ubuntu' } },
      ),
      'missing',
      /WSL 1/,
      /^wsl\.exe --set-version Ubuntu 2$/,
    ],
  ])('%s', (_name, host, status, why, command) => {
    const found = surroundings(host)
    expect(found).toMatchObject({ status, why: expect.stringMatching(why) })
    if (command === null) expect(found.command).toBeNull()
    else expect(found.command).toMatch(command)
  })
})

describe('user namespaces', () => {
  const namespaces = (settings: Files, user = ANN) =>
    userNamespaces(
      machine(
        {
          '/proc/self/ns/user': '',
          '/proc/sys/user/max_user_namespaces': '60000\n',
          ...Object.fromEntries(
            Object.entries(settings).map(([name, value]) => [`/proc/sys/${name}`, `${value}\n`]),
          ),
        },
        { user },
      ),
    )

  test.each([
    ['kernel/apparmor_restrict_unprivileged_userns', '1', 'kernel.apparmor_restrict_unprivileged_userns=0'],
    ['kernel/unprivileged_userns_clone', '0', 'kernel.unprivileged_userns_clone=1'],
    ['user/max_user_namespaces', '0', 'user.max_user_namespaces=15000'],
  ])('%s = %s forbids them', (name, value, mended) => {
    const { status, command } = namespaces({ [name]: value })
    expect(status).toBe('missing')
    expect(command).toContain(`echo ${mended} | sudo tee`)
    // The other value lets them be.
    expect(namespaces({ [name]: mended.split('=')[1]! }).status).toBe('ok')
  })

  test('root is bound by their number alone', () => {
    expect(namespaces({ 'kernel/unprivileged_userns_clone': '0' }, ROOT_USER).status).toBe('ok')
    expect(namespaces({ 'user/max_user_namespaces': '0' }, ROOT_USER).status).toBe('missing')
  })

  test('a kernel without them', () => {
    expect(userNamespaces(machine({}))).toMatchObject({ status: 'missing', command: null })
  })
})

describe('subordinate ids', () => {
  const MAPPERS = ['newuidmap', 'newgidmap', 'apt-get']
  const ids = (subuid: string, subgid = subuid, installed = MAPPERS) =>
    subordinateIds(machine({ '/etc/subuid': subuid, '/etc/subgid': subgid }, {}, installed))

  test('by name or number, in one range or several', () => {
    expect(ids('ann:100000:65536\n').status).toBe('ok')
    expect(ids('bob:1:2\n1000:100000:40000\nann:200000:40000\n').status).toBe('ok')
  })
  test('none: a range that is free is given', () => {
    expect(ids('bob:100000:65536\n', 'bob:100000:65536\neve:165536:65536\n')).toMatchObject({
      status: 'missing',
      command: 'sudo usermod --add-subuids 231072-296607 --add-subgids 231072-296607 ann',
    })
  })
  test('of groups too', () => {
    expect(ids('ann:100000:65536\n', '').status).toBe('missing')
  })
  test('too few', () => {
    expect(ids('ann:100000:1000\n')).toMatchObject({ status: 'weaker', why: expect.stringContaining('1000') })
  })
  test('nothing that maps them', () => {
    expect(ids('ann:100000:65536\n', undefined, ['newuidmap', 'dnf'])).toMatchObject({
      status: 'missing',
      command: 'sudo dnf install shadow-utils',
    })
  })
  test('root needs none', () => {
    expect(subordinateIds(machine({}, { user: ROOT_USER })).status).toBe('ok')
  })
})

describe('kvm', () => {
  const CPU = { '/proc/cpuinfo': 'processor\t: 0\nflags\t\t: fpu vmx sse\n' }
  const with_ = (mode: number, gid: number, more: Files = {}, options: HostOptions = {}) => {
    const host = machine({ ...WHOLE, ...CPU, ...more }, options)
    return kvm({
      ...host,
      stat: (path) => (path === '/dev/kvm' ? { mode: 0o20000 | mode, uid: 0, gid } : null),
    })
  }
  const GROUP = { '/etc/group': 'root:x:0:\nkvm:x:36:bob\n' }

  test.each<[string, ReturnType<typeof kvm>, string, RegExp | null]>([
    ['open to all', with_(0o666, 0), 'ok', null],
    ['for root', with_(0o600, 0, {}, { user: ROOT_USER }), 'ok', null],
    ['for a group one is in', with_(0o660, 36, GROUP, { user: { ...ANN, groups: [1000, 36] } }), 'ok', null],
    [
      'for a group one is not in',
      with_(0o660, 36, GROUP),
      'weaker',
      /^sudo usermod -aG kvm ann && newgrp kvm$/,
    ],
    [
      'for a group that this login does not know of yet',
      with_(0o660, 36, { '/etc/group': 'kvm:x:36:bob,ann\n' }),
      'weaker',
      /^newgrp kvm$/,
    ],
    [
      "root's alone",
      with_(0o600, 0, GROUP),
      'weaker',
      /^sudo usermod -aG kvm ann && .*MODE="0660".*udevadm trigger/,
    ],
    ['root alone, and no group', with_(0o600, 0), 'weaker', /^sudo groupadd --system kvm && /],
    ['in a runner', with_(0o660, 36, GROUP, { env: { GITHUB_ACTIONS: 'true' } }), 'weaker', /MODE="0666"/],
    ['no module', kvm(machine({ ...WHOLE, ...CPU })), 'weaker', /^sudo modprobe kvm_intel$/],
    [
      'no module for AMD',
      kvm(machine({ ...WHOLE, '/proc/cpuinfo': 'flags : svm\n' })),
      'weaker',
      /^sudo modprobe kvm_amd$/,
    ],
    ['no virtualization', kvm(machine({ ...WHOLE, '/proc/cpuinfo': 'flags : fpu\n' })), 'weaker', null],
    ['a container', kvm(machine({ '/.dockerenv': '' })), 'weaker', /^docker run --device \/dev\/kvm/],
    [
      'WSL 2',
      kvm(machine({ ...WHOLE, '/proc/sys/kernel/osrelease': '6.6-microsoft-standard-WSL2' })),
      'weaker',
      /nestedVirtualization=true/,
    ],
  ])('%s', (_name, found, status, command) => {
    expect(found.status).toBe(status)
    if (command === null) expect(found.command).toBeNull()
    else expect(found.command).toMatch(command)
  })
})

describe('control groups', () => {
  const SECOND = { '/sys/fs/cgroup/cgroup.controllers': 'cpu memory pids\n' }
  const MANAGER = '/sys/fs/cgroup/user.slice/user-1000.slice/user@1000.service/cgroup.controllers'

  test('that the engine may make', () => {
    expect(controlGroups(machine(SECOND), true)).toMatchObject({
      status: 'ok',
      why: expect.stringContaining('version 2'),
    })
  })
  test.each<[string, Host, RegExp]>([
    ['version 1', machine({ '/sys/fs/cgroup/memory/x': '' }), /chown -R 1000 .*PYRO_CGROUP=\/pyro-1000/],
    ['version 2 without a manager', machine(SECOND), /^sudo loginctl enable-linger ann/],
    [
      'version 2 with a manager that lacks controllers',
      machine({ ...SECOND, [MANAGER]: 'memory pids\n' }),
      /Delegate=cpu cpuset io memory pids.*daemon-reload/,
    ],
    [
      'version 2, all delegated',
      machine({ ...SECOND, [MANAGER]: 'cpu memory pids\n' }),
      /^pyro daemon stop; systemd-run --user --scope --property=Delegate=yes/,
    ],
    [
      'a setting that leads nowhere',
      machine(SECOND, { env: { PYRO_CGROUP: '/none' } }),
      /^unset PYRO_CGROUP$/,
    ],
    ['a container of root', machine(SECOND, { user: ROOT_USER }), /^docker run --cgroupns private/],
  ])('%s', (_name, host, command) => {
    expect(controlGroups(host, false)).toMatchObject({
      status: 'weaker',
      command: expect.stringMatching(command),
    })
  })
})

describe('storage', () => {
  const MOUNTS =
    '/dev/a / ext4 rw 0 0\ntmpfs /tmp tmpfs rw,nosuid,noexec 0 0\n/dev/b /data\\040disk xfs rw 0 0\n'
  const here = machine({ '/proc/self/mounts': MOUNTS, '/data disk/x': '' })
  const lone = machine({ '/proc/self/mounts': '/dev/a / ext4 rw 0 0\n' })

  test.each<[string, ReturnType<typeof home>, string, RegExp | null]>([
    ['all', home(here, '/h', { type: 'xfs', overlay: true, reflink: true }), 'ok', null],
    [
      'no reflinks, and a file system that has them',
      home(here, '/h', { type: 'ext4', overlay: true, reflink: false }),
      'slower',
      /^export PYRO_HOME=\/data disk\/pyro$/,
    ],
    [
      'no reflinks anywhere',
      home(lone, '/h', { type: 'ext4', overlay: true, reflink: false }),
      'slower',
      /mkfs\.xfs .*export PYRO_HOME=\/srv\/pyro\/ann$/,
    ],
    ['tmpfs', home(lone, '/h', { type: 'tmpfs', overlay: true, reflink: false }), 'weaker', /PYRO_HOME/],
    [
      'no overlays',
      home(lone, '/h', { type: 'nfs', overlay: false, reason: 'no xattrs', reflink: false }),
      'missing',
      /PYRO_HOME/,
    ],
    [
      "no overlays, on a container's own layer",
      home(machine({ '/.dockerenv': '', '/proc/self/mounts': 'overlay / overlay rw 0 0\n' }), '/h', {
        type: 'overlay',
        overlay: false,
        reflink: false,
      }),
      'missing',
      /^docker run --volume pyro:\/h IMAGE$/,
    ],
  ])('%s', (_name, found, status, command) => {
    expect(found.status).toBe(status)
    if (command === null) expect(found.command).toBeNull()
    else expect(found.command).toMatch(command)
  })

  test('room for bytes and for files', () => {
    const with_ = (bytes: number, files: number) =>
      space(machine({}, { room: () => ({ bytes, files }) }), ['/h'])
    expect(with_(50e9, 1e6).status).toBe('ok')
    expect(with_(1e9, 1e6)).toMatchObject({ status: 'weaker', why: expect.stringContaining('0.9 GiB') })
    expect(with_(50e9, 12)).toMatchObject({ status: 'weaker', why: expect.stringContaining('12 files') })
  })

  test('noexec matters where the native binary lies, and in no other place', () => {
    expect(programs(here, '/tmp/pyro/native')).toMatchObject({
      status: 'missing',
      command: 'sudo mount -o remount,exec /tmp',
    })
    expect(programs(here, '/tmpfiles/native')).toMatchObject({
      status: 'ok',
      why: expect.stringContaining('/tmp is noexec'),
    })
  })

  test('watchers', () => {
    const with_ = (watches: number, instances: number) =>
      watchers(
        machine({
          '/proc/sys/fs/inotify/max_user_watches': `${watches}\n`,
          '/proc/sys/fs/inotify/max_user_instances': `${instances}\n`,
        }),
      )
    expect(with_(8192, 128)).toMatchObject({
      status: 'weaker',
      command: expect.stringContaining('max_user_watches=524288'),
    })
    expect(with_(524288, 16)).toMatchObject({
      status: 'weaker',
      command: expect.stringContaining('max_user_instances=512'),
    })
    expect(with_(524288, 128).status).toBe('ok')
  })

  test('Node', () => {
    expect(node(machine({}, { node: '22.9.0' })).status).toBe('missing')
    expect(node(machine({}, { node: '24.0.0' })).status).toBe('ok')
  })
})

describe('tools', () => {
  const ALL = ['crun', 'newuidmap', 'git', 'mmdebstrap', 'mkfs.erofs', 'mkfs.ext4', 'qemu-system-x86_64']
  test('all there', () => {
    expect(tools(machine({}, {}, ALL))).toEqual([
      { name: 'tools', status: 'ok', why: expect.any(String), command: null },
    ])
  })
  test.each([
    ['apt-get', 'sudo apt-get install erofs-utils'],
    ['dnf', 'sudo dnf install erofs-utils'],
    ['pacman', 'sudo pacman -S erofs-utils'],
    ['apk', 'sudo apk add erofs-utils'],
  ])('one is missing where there is %s', (manager, command) => {
    const found = tools(machine({}, {}, [...ALL.filter((name) => name !== 'mkfs.erofs'), manager]))
    expect(found.slice(1)).toEqual([
      { name: 'tool mkfs.erofs', status: 'missing', why: expect.stringContaining('no image'), command },
    ])
  })
  test('nothing is there, and nothing that installs', () => {
    const found = tools(machine({}))
    expect(found).toHaveLength(7)
    expect(found.every(({ command, status }) => command === null && status !== 'ok')).toBe(true)
  })
  test('what is of no use is not asked for', () => {
    const names = tools(machine({}, { user: ROOT_USER, arch: 'arm64' })).map(({ name }) => name)
    expect(names).not.toContain('tool newuidmap')
    expect(names).not.toContain('tool qemu-system-x86_64')
  })
})

describe('all of them', () => {
  test('say a word of an empty machine, and each has a name of its own', () => {
    const checks = machineChecks(machine({}), { home: '/h', cache: '/c', native: '/n' })
    expect(new Set(checks.map(({ name }) => name)).size).toBe(checks.length)
    for (const { why, status, command } of checks) {
      expect(why).not.toBe('')
      if (status === 'ok') expect(command).toBeNull()
    }
  })

  test.each([
    ['sudo apt-get install runc', 'sudo apt-get install runc', ''],
    ['Install one, e.g. with: sudo apt-get install runc', 'sudo apt-get install runc', ''],
    [
      'sudo usermod -aG kvm $USER, then log in again',
      'sudo usermod -aG kvm $USER',
      ' Do this, then log in again',
    ],
    ['See the log.', null, ' See the log.'],
  ])('the hint of an error, %s', (hint, command, words) => {
    expect(failed(new PyroError('runtime_missing', 'None.', { hint }))).toEqual({
      status: 'missing',
      why: `runtime_missing: None.${words}`,
      command,
    })
  })
})
