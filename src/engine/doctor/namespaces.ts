/** Whether the kernel lets this user make user namespaces, by the settings that are known to forbid it. */
import { type Finding, fine, sysctl } from './finding.ts'
import type { Host } from './host.ts'

export function userNamespaces({ read, exists, user }: Host): Finding {
  const value = (name: string) => read(`/proc/sys/${name}`)?.trim()
  if (!exists('/proc/self/ns/user'))
    return { status: 'missing', why: 'This kernel was built without user namespaces.', command: null }
  if (value('user/max_user_namespaces') === '0')
    return {
      status: 'missing',
      why: 'user.max_user_namespaces is 0: nobody may make a user namespace.',
      command: sysctl('user.max_user_namespaces=15000'),
    }
  // Root makes them whatever these say.
  if (user.uid === 0) return fine('as root')
  if (value('kernel/unprivileged_userns_clone') === '0')
    return {
      status: 'missing',
      why: 'kernel.unprivileged_userns_clone is 0: only root may make user namespaces.',
      command: sysctl('kernel.unprivileged_userns_clone=1'),
    }
  if (value('kernel/apparmor_restrict_unprivileged_userns') === '1')
    return {
      status: 'missing',
      why: "AppArmor takes their rights from users' namespaces (kernel.apparmor_restrict_unprivileged_userns is 1).",
      command: sysctl('kernel.apparmor_restrict_unprivileged_userns=0'),
    }
  return fine('allowed to ordinary users')
}
