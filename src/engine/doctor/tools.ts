/** Programs of this machine that Pyro calls, what for, and how they are installed. */
import { type Check, type Finding, fine } from './finding.ts'
import type { Host } from './host.ts'

type Manager = 'apt-get' | 'dnf' | 'pacman' | 'zypper' | 'apk'
interface Tool {
  /** Any one of them will do. */
  programs: string[]
  without: string
  status: Finding['status']
  packages: Partial<Record<Manager, string>>
  /** Whether it is of use here. Default: yes. */
  when?: (host: Host) => boolean
}

const everywhere = (name: string): Tool['packages'] => ({
  'apt-get': name,
  dnf: name,
  pacman: name,
  zypper: name,
  apk: name,
})

const TOOLS: Record<string, Tool> = {
  runtime: {
    programs: ['runc', 'crun'],
    without: 'no container can be started',
    status: 'missing',
    packages: everywhere('runc'),
  },
  newuidmap: {
    programs: ['newuidmap'],
    without: 'sandboxes of ordinary users get no ids',
    status: 'missing',
    packages: { ...everywhere('shadow'), 'apt-get': 'uidmap', dnf: 'shadow-utils', apk: 'shadow-uidmap' },
    when: ({ user }) => user.uid !== 0,
  },
  git: {
    programs: ['git'],
    without: 'a repository is copied as a plain directory, with what it ignores',
    status: 'weaker',
    packages: everywhere('git'),
  },
  mmdebstrap: {
    programs: ['mmdebstrap'],
    without: 'only the environment host can be used',
    status: 'missing',
    packages: everywhere('mmdebstrap'),
  },
  'mkfs.erofs': {
    programs: ['mkfs.erofs'],
    without: 'no image for machines can be made',
    status: 'missing',
    packages: everywhere('erofs-utils'),
  },
  'mkfs.ext4': {
    programs: ['mkfs.ext4'],
    without: 'machines get no disk to write on',
    status: 'missing',
    packages: everywhere('e2fsprogs'),
  },
  machine: {
    programs: ['qemu-system-x86_64', 'firecracker'],
    without: 'no machine can be started: containers share the kernel of this one',
    status: 'weaker',
    packages: {
      'apt-get': 'qemu-system-x86',
      dnf: 'qemu-kvm',
      pacman: 'qemu-base',
      zypper: 'qemu-x86',
      apk: 'qemu-system-x86_64',
    },
    when: ({ arch }) => arch === 'x64',
  },
}

const INSTALL: Record<Manager, string> = {
  'apt-get': 'sudo apt-get install',
  dnf: 'sudo dnf install',
  pacman: 'sudo pacman -S',
  zypper: 'sudo zypper install',
  apk: 'sudo apk add',
}

/** The command that installs some tools; null where the package manager is not known. */
export function installing(host: Host, ...names: string[]): string | null {
  const manager = (Object.keys(INSTALL) as Manager[]).find((name) => host.find(name) !== null)
  if (manager === undefined) return null
  const packages = names.map((name) => TOOLS[name]!.packages[manager])
  return packages.includes(undefined) ? null : `${INSTALL[manager]} ${packages.join(' ')}`
}

/** One for each that is missing, and one for those that are there. */
export function tools(host: Host): Check[] {
  const used = Object.entries(TOOLS).filter(([, { when }]) => when?.(host) ?? true)
  const found = used.flatMap(
    ([, { programs }]) => programs.find((program) => host.find(program) !== null) ?? [],
  )
  const missing = used.filter(([, { programs }]) => programs.every((program) => host.find(program) === null))
  return [
    ...(found.length > 0 ? [{ name: 'tools', ...fine(`found: ${found.join(', ')}`) }] : []),
    ...missing.map(([name, { programs, without, status }]) => ({
      name: `tool ${programs[0]}`,
      status,
      why: `${programs.join(' or ')} is not installed: ${without}.`,
      command: installing(host, name),
    })),
  ]
}
