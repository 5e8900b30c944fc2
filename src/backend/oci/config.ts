/** A sandbox as an OCI bundle's config.json (runtime-spec 1.0.2). */
import type { DirectoryMedium, SandboxSpec } from '../backend.ts'
import { resources, rlimits } from './limits.ts'

/** The capabilities that container engines give by default, all of them inside the sandbox's own user namespace. */
const CAPABILITIES = [
  'CHOWN',
  'DAC_OVERRIDE',
  'FOWNER',
  'FSETID',
  'KILL',
  'SETGID',
  'SETUID',
  'SETPCAP',
  'NET_BIND_SERVICE',
  'SYS_CHROOT',
  'SETFCAP',
].map((name) => `CAP_${name}`)

const MASKED = [
  'acpi',
  'asound',
  'kcore',
  'keys',
  'latency_stats',
  'timer_list',
  'timer_stats',
  'sched_debug',
  'scsi',
  'interrupts',
  'kmsg',
  'sysrq-trigger',
  'kpagecount',
  'kpageflags',
  'kpagecgroup',
].map((name) => `/proc/${name}`)
const READ_ONLY = ['bus', 'fs', 'irq', 'sys'].map((name) => `/proc/${name}`)

export interface ConfigOptions {
  spec: SandboxSpec
  medium: DirectoryMedium
  /** The guest's program, bound at /run/pyro/guest. */
  binary: string
  /** cgroup of the sandbox; null leaves the runtime's default and limits by rlimits only. */
  cgroup: string | null
}

export function ociConfig({ spec, medium, binary, cgroup }: ConfigOptions): object {
  const mapping = [{ containerID: 0, hostID: medium.ids.base, size: medium.ids.size }]
  return {
    ociVersion: '1.0.2',
    hostname: spec.hostname,
    root: { path: medium.root, readonly: false },
    process: {
      terminal: false,
      user: { uid: 0, gid: 0 },
      args: ['/run/pyro/guest', 'init', '--confine'],
      cwd: '/',
      env: ['PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', 'HOME=/root'],
      capabilities: {
        bounding: CAPABILITIES,
        effective: CAPABILITIES,
        permitted: CAPABILITIES,
        inheritable: [],
        ambient: [],
      },
      rlimits: rlimits(spec.limits),
      noNewPrivileges: true,
      oomScoreAdj: 500,
    },
    mounts: mounts(medium, binary),
    linux: {
      namespaces: ['pid', 'ipc', 'uts', 'mount', 'network', 'user'].map((type) => ({ type })),
      uidMappings: mapping,
      gidMappings: mapping,
      maskedPaths: [...MASKED, '/sys/firmware', '/sys/devices/virtual/powercap', '/sys/fs/cgroup'],
      readonlyPaths: READ_ONLY,
      ...(cgroup === null ? {} : { cgroupsPath: cgroup, resources: resources(spec.limits) }),
    },
  }
}

function mounts(medium: DirectoryMedium, binary: string): object[] {
  const bind = (source: string, destination: string, ...options: string[]) => ({
    destination,
    source,
    type: 'bind',
    options: ['bind', 'nosuid', 'nodev', ...options],
  })
  const memory = (destination: string, ...options: string[]) => ({
    destination,
    type: 'tmpfs',
    source: 'tmpfs',
    options: ['nosuid', ...options],
  })
  return [
    { destination: '/proc', type: 'proc', source: 'proc', options: ['nosuid', 'noexec', 'nodev'] },
    memory('/dev', 'strictatime', 'mode=755', 'size=65536k'),
    {
      destination: '/dev/pts',
      type: 'devpts',
      source: 'devpts',
      options: ['nosuid', 'noexec', 'newinstance', 'ptmxmode=0666', 'mode=0620'],
    },
    memory('/dev/shm', 'noexec', 'nodev', 'mode=1777', 'size=25%'),
    { destination: '/dev/mqueue', type: 'mqueue', source: 'mqueue', options: ['nosuid', 'noexec', 'nodev'] },
    { destination: '/sys', type: 'sysfs', source: 'sysfs', options: ['nosuid', 'noexec', 'nodev', 'ro'] },
    memory('/run', 'nodev', 'mode=755', 'size=65536k'),
    bind(binary, '/run/pyro/guest', 'ro'),
    bind(medium.spool, '/run/pyro/spool', 'rw', 'noexec'),
    ...(medium.workspace === null ? [] : [bind(medium.workspace, '/workspace', 'rw')]),
    ...medium.binds.map((path) => bind(path, path, 'ro')),
    ...medium.masked.map((path) => memory(path, 'ro', 'nodev', 'noexec', 'mode=755', 'size=4k')),
  ]
}
