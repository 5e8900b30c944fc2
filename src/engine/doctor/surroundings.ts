/** What this machine is itself: a container, a runner of continuous integration, Linux inside Windows, or none of these. */
import { type Finding, fine } from './finding.ts'
import type { Host } from './host.ts'

export type Container = 'docker' | 'podman' | 'kubernetes' | 'container'

export function containerOf({ exists, read, env }: Host): Container | null {
  // Where the kernel's own threads are seen one is in no container: virtual machines are made of images too.
  if (read('/proc/2/comm')?.trim() === 'kthreadd') return null
  if (exists('/run/.containerenv')) return 'podman'
  if (env['KUBERNETES_SERVICE_HOST'] !== undefined) return 'kubernetes'
  if (exists('/.dockerenv')) return 'docker'
  const cgroups = read('/proc/1/cgroup') ?? ''
  if (/kubepods/.test(cgroups)) return 'kubernetes'
  if (/[/-]docker[/-]/.test(cgroups)) return 'docker'
  // What systemd and others tell programs inside.
  return /(?:^|\0)container=/.test(read('/proc/1/environ') ?? '') ? 'container' : null
}

/** 1 or 2; null where this is not Linux inside Windows. */
export function wslVersion({ read, exists }: Host): 1 | 2 | null {
  const release = read('/proc/sys/kernel/osrelease') ?? ''
  if (!/microsoft/i.test(release)) return null
  return /WSL2|microsoft-standard/.test(release) || exists('/run/WSL') ? 2 : 1
}

export const runnerOf = ({ env }: Host): string | null =>
  env['GITHUB_ACTIONS'] === 'true'
    ? 'GitHub Actions'
    : env['GITLAB_CI'] !== undefined
      ? 'GitLab CI'
      : env['CI'] !== undefined && env['CI'] !== 'false'
        ? 'continuous integration'
        : null

const CAP_SYS_ADMIN = 21n
const STATE = '--volume pyro:/root/.local/state/pyro'

/** What a container has to be given so that others run in it; the last of each is for /proc of the inner ones. */
function command(container: Container, host: Host): string {
  if (container === 'kubernetes') return 'kubectl run pyro --privileged --image IMAGE'
  const device = host.exists('/dev/kvm') ? ' --device /dev/kvm' : ''
  const allowed =
    container === 'podman'
      ? '--security-opt label=disable --security-opt unmask=ALL'
      : '--security-opt apparmor=unconfined --security-opt systempaths=unconfined'
  return `${container === 'podman' ? 'podman' : 'docker'} run --cap-add SYS_ADMIN --security-opt seccomp=unconfined ${allowed}${device} ${STATE} IMAGE`
}

export function surroundings(host: Host): Finding {
  const runner = runnerOf(host)
  const inRunner = runner === null ? '' : `, for ${runner}`
  const wsl = wslVersion(host)
  if (wsl === 1)
    return {
      status: 'missing',
      why: 'This is WSL 1, which has no Linux kernel: neither namespaces nor overlays. WSL 2 has one.',
      command: `wsl.exe --set-version ${host.env['WSL_DISTRO_NAME'] ?? 'Debian'} 2`,
    }
  const container = containerOf(host)
  if (container !== null) {
    const closed = closedBy(host)
    if (closed === null) return fine(`inside a container (${container})${inRunner}, which may hold others`)
    return {
      status: 'missing',
      why: `Inside a container (${container})${inRunner} that may hold no other: ${closed}.`,
      command: command(container, host),
    }
  }
  const system = /^PRETTY_NAME="?([^"\n]*)/m.exec(host.read('/etc/os-release') ?? '')?.[1] ?? 'Linux'
  const kernel = (host.read('/proc/sys/kernel/osrelease') ?? '').trim()
  return fine(`${system}, Linux ${kernel}${wsl === 2 ? ', in WSL 2' : ''}${inRunner}`)
}

/** Why this container cannot make namespaces and mounts; null where it can. */
function closedBy({ read, user }: Host): string | null {
  const status = read('/proc/self/status') ?? ''
  const field = (name: string) => new RegExp(`^${name}:\\s*(\\S+)`, 'm').exec(status)?.[1]
  if (field('Seccomp') === '2') return 'its seccomp filter refuses mounts and namespaces'
  if (field('NoNewPrivs') === '1' && user.uid !== 0) return 'no_new_privs keeps newuidmap from its rights'
  const capabilities = BigInt(`0x${field('CapBnd') ?? '0'}`)
  if (user.uid === 0 && ((capabilities >> CAP_SYS_ADMIN) & 1n) === 0n) return 'it lacks CAP_SYS_ADMIN'
  return null
}
