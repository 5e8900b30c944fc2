/** Whether hardware can run machines here, as far as it can be seen without trying; the backends try. */
import { type Finding, fine } from './finding.ts'
import type { Host } from './host.ts'
import { containerOf, runnerOf, wslVersion } from './surroundings.ts'

const DEVICE = '/dev/kvm'
const FOR_EVERYBODY =
  'echo \'KERNEL=="kvm", GROUP="kvm", MODE="0666", OPTIONS+="static_node=kvm"\' | sudo tee /etc/udev/rules.d/99-kvm.rules && sudo udevadm control --reload-rules && sudo udevadm trigger --name-match=kvm'
const FOR_ITS_GROUP = FOR_EVERYBODY.replace('0666', '0660')

const weaker = (why: string, command: string | null): Finding => ({ status: 'weaker', why, command })

export function kvm(host: Host): Finding {
  const device = host.stat(DEVICE)
  return device === null ? absent(host) : rights(host, device)
}

function absent(host: Host): Finding {
  const words = /^flags\s*:(.*)$/m.exec(host.read('/proc/cpuinfo') ?? '')?.[1]?.split(' ') ?? []
  const module = words.includes('vmx') ? 'kvm_intel' : words.includes('svm') ? 'kvm_amd' : null
  if (containerOf(host) !== null)
    return weaker(`This container was not given ${DEVICE}.`, 'docker run --device /dev/kvm IMAGE')
  if (module !== null || host.arch === 'arm64')
    return weaker(
      `There is no ${DEVICE}: the kernel's module is not loaded.`,
      module === null ? null : `sudo modprobe ${module}`,
    )
  if (wslVersion(host) === 2)
    return weaker(
      `There is no ${DEVICE}: nested virtualization is off in Windows.`,
      "printf '[wsl2]\\nnestedVirtualization=true\\n' >> \"$(wslpath \"$(cmd.exe /c 'echo %USERPROFILE%' | tr -d '\\r')\")/.wslconfig\" && wsl.exe --shutdown",
    )
  return weaker(
    `There is no ${DEVICE}, and the processor offers no virtualization: it is off in the firmware, or this is a virtual machine whose provider does not nest them. Machines are emulated, which is slow.`,
    null,
  )
}

function rights(host: Host, { mode, uid, gid }: { mode: number; uid: number; gid: number }): Finding {
  const { user } = host
  const open = (bits: number) => (mode & bits) === bits
  const allowed =
    user.uid === 0 ||
    (user.uid === uid && open(0o600)) ||
    (user.groups.includes(gid) ? open(0o060) : open(0o006))
  if (allowed) return fine(`${DEVICE} is there and may be used`)
  if (runnerOf(host) !== null) return weaker(`${DEVICE} is closed to the runner's user.`, FOR_EVERYBODY)
  const group = /^([^:\n]+):[^:]*:(\d+):(.*)$/gm
  const groups = [...(host.read('/etc/group') ?? '').matchAll(group)]
  const owning = groups.find(([, , number]) => Number(number) === gid)
  if (!open(0o060) || gid === 0)
    return weaker(
      `${DEVICE} is closed to every group but root's.`,
      `${groups.some(([, name]) => name === 'kvm') ? '' : 'sudo groupadd --system kvm && '}sudo usermod -aG kvm ${user.name} && ${FOR_ITS_GROUP}`,
    )
  const name = owning?.[1] ?? String(gid)
  if (owning?.[3]?.split(',').includes(user.name))
    return weaker(
      `${user.name} is in the group ${name}, but this login is older than that.`,
      `newgrp ${name}`,
    )
  return weaker(
    `${DEVICE} is for the group ${name}, which ${user.name} is not in.`,
    `sudo usermod -aG ${name} ${user.name} && newgrp ${name}`,
  )
}
