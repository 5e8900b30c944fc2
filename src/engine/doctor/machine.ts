/** What can be seen of this machine without its engine's parts: each check reads, none changes anything. */
import { subordinateIds } from './ids.ts'
import type { Check } from './finding.ts'
import type { Host } from './host.ts'
import { kvm } from './kvm.ts'
import { userNamespaces } from './namespaces.ts'
import { node, programs, space, watchers } from './storage.ts'
import { surroundings } from './surroundings.ts'
import { tools } from './tools.ts'

export interface Places {
  home: string
  cache: string
  native: string
}

export function machineChecks(host: Host, { home, cache, native }: Places): Check[] {
  return [
    { name: 'surroundings', ...surroundings(host) },
    { name: 'node', ...node(host) },
    { name: 'user namespaces', ...userNamespaces(host) },
    { name: 'subordinate ids', ...subordinateIds(host) },
    { name: 'programs', ...programs(host, native) },
    ...tools(host),
    { name: 'kvm', ...kvm(host) },
    { name: 'space', ...space(host, [home, cache]) },
    { name: 'watchers', ...watchers(host) },
  ]
}
