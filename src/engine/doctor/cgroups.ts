/** Whether limits can be enforced: by control groups that this user may make. */
import { type Finding, fine } from './finding.ts'
import type { Host } from './host.ts'

const ROOT = '/sys/fs/cgroup'
const CONTROLLERS = ['cpu', 'memory', 'pids']

/** `usable` is what the engine found for its own groups. */
export function controlGroups(host: Host, usable: boolean): Finding {
  const { user, read, exists, env } = host
  const second = exists(`${ROOT}/cgroup.controllers`)
  if (usable) return fine(`version ${second ? 2 : 1}: memory, processes and CPUs are limited`)
  const weaker = (why: string, command: string | null): Finding => ({
    status: 'weaker',
    why: `${why} Memory is limited per process, processes per user, CPUs not at all.`,
    command,
  })
  const setting = env['PYRO_CGROUP']
  if (setting !== undefined && !firstFolders(setting, second).every(host.writable))
    return weaker(`PYRO_CGROUP=${setting} is no control group that this user may write.`, 'unset PYRO_CGROUP')
  if (user.uid === 0)
    return weaker(
      `${ROOT} is not there for writing, as in a container.`,
      'docker run --cgroupns private --privileged IMAGE',
    )
  if (!second) {
    return weaker(
      'Control groups are of version 1, and none is given to this user.',
      // An OCI runtime uses every hierarchy, and all the files of each group.
      `sudo sh -c 'for c in ${ROOT}/*/cgroup.procs; do g=\${c%/*}/pyro-${user.uid}; mkdir -p $g && chown -R ${user.uid} $g; done' && export PYRO_CGROUP=/pyro-${user.uid} && pyro daemon stop`,
    )
  }
  const manager = `${ROOT}/user.slice/user-${user.uid}.slice/user@${user.uid}.service`
  const delegated = (read(`${manager}/cgroup.controllers`) ?? '').split(/\s+/)
  const lacking = CONTROLLERS.filter((controller) => !delegated.includes(controller))
  if (!exists(manager))
    return weaker(
      'No control group is given to this user: systemd runs no manager for this login.',
      `sudo loginctl enable-linger ${user.name}, then log in again`,
    )
  if (lacking.length > 0)
    return weaker(
      `systemd gives this user no control over ${lacking.join(', ')}.`,
      "sudo mkdir -p /etc/systemd/system/user@.service.d && printf '[Service]\\nDelegate=cpu cpuset io memory pids\\n' | sudo tee /etc/systemd/system/user@.service.d/delegate.conf && sudo systemctl daemon-reload && sudo systemctl restart user@$(id -u).service",
    )
  return weaker('The engine does not run in a control group that is given to it.', IN_A_SCOPE)
}

const firstFolders = (setting: string, second: boolean) =>
  second ? [`${ROOT}${setting}`] : CONTROLLERS.map((controller) => `${ROOT}/${controller}${setting}`)

/**
 * Starts the engine in a scope of its own: a leaf for the engine, as a group with processes may divide nothing, and the
 * groups of workspaces beside it.
 */
const IN_A_SCOPE =
  "pyro daemon stop; systemd-run --user --scope --property=Delegate=yes sh -c 'c=$(sed -n s/^0:://p /proc/self/cgroup); mkdir /sys/fs/cgroup$c/engine && echo $$ >/sys/fs/cgroup$c/engine/cgroup.procs && echo +cpu +memory +pids >/sys/fs/cgroup$c/cgroup.subtree_control && PYRO_CGROUP=$c pyro workspace list'"
