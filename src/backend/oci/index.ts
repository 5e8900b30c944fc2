/** Sandboxes as OCI containers: user, pid, mount, network, ipc and uts namespaces of their own, no network device. */
import { connect } from 'node:net'
import { join } from 'node:path'
import { existsSync, rmSync } from 'node:fs'
import { PyroError, toPyroError } from '../../contract/errors.ts'
import type { HandService } from '../../hand/index.ts'
import type { Backend } from '../backend.ts'
import { cgroupParent } from '../cgroup.ts'
import { bootId, isAlive } from '../process.ts'
import { ociConfig } from './config.ts'
import { seccompFilter } from './seccomp/filter.ts'
import { settle } from './limits.ts'
import { candidates, withRuntime } from './runtime.ts'

export interface OciOptions {
  hand: HandService
  /** The guest's program, as a path that a sandbox can be given. */
  binary: string
  home: string
  cache: string
  runtimeDir: string
}

export function ociBackend({ hand, binary, home, cache, runtimeDir }: OciOptions): Backend {
  const runtimeRoot = join(home, 'runtime')
  const socketOf = (id: string) => join(runtimeDir, `${id}.sock`)
  const argsFor = (mode: 'root' | 'user') => (mode === 'user' ? ['--rootless=auto'] : [])

  return {
    name: 'oci',
    isolation: 'container',
    executionMode: 'container',
    medium: 'directory',

    async availability() {
      try {
        candidates()
        return { usable: true, hardware: true, reason: null, hint: null }
      } catch (error) {
        const { message, hint } = toPyroError(error)
        return { usable: false, hardware: true, reason: message, hint: hint ?? null }
      }
    },

    async start(spec) {
      const { medium } = spec
      if (medium.kind !== 'directory') throw new TypeError('a container is given mounts, not disks')
      const { mode } = await hand.info()
      const parent = cgroupParent(mode)
      const config = JSON.stringify(
        ociConfig({ spec, medium, binary, cgroup: parent === null ? null : `${parent}/pyro-${spec.id}` }),
      )
      const { runtime, result } = await withRuntime(cache, mode, (runtime) =>
        hand.call(
          'start',
          {
            runtime,
            runtime_root: runtimeRoot,
            runtime_args: argsFor(mode),
            id: spec.id,
            bundle: join(spec.dir, 'bundle'),
            config,
            socket: socketOf(spec.id),
            console: join(spec.dir, 'console.log'),
            filter: filter(),
            folders: medium.folders,
            mounts: medium.mounts,
          },
          { onProgress: ({ text }) => text === 'listening' && spec.onReachable?.() },
        ),
      )
      return {
        pid: result.pid,
        start_time: result.start_time,
        boot_id: bootId(),
        holder: await hand.holderId(),
        runtime,
      }
    },

    find: isAlive,

    async attach(sandbox, source, target) {
      await hand.call('attach', { pid: sandbox.pid, start_time: sandbox.start_time, source, target })
    },

    connect: (id) => connect(socketOf(id)),

    async stop(id, sandbox) {
      const { mode } = await hand.info()
      for (const runtime of runtimesToAsk(sandbox?.runtime)) {
        const identity = sandbox === null ? {} : { pid: sandbox.pid, start_time: sandbox.start_time }
        await hand.call('stop', {
          runtime,
          runtime_root: runtimeRoot,
          runtime_args: argsFor(mode),
          id,
          ...(sandbox?.boot_id === bootId() ? identity : {}),
        })
      }
      rmSync(socketOf(id), { force: true })
    },

    async limits(asked) {
      return settle(asked, cgroupParent((await hand.info()).mode))
    },
  }

  /** The one that started it; where that was not recorded, whichever could have. */
  function runtimesToAsk(recorded: string | undefined): string[] {
    if (recorded !== undefined && existsSync(recorded)) return [recorded]
    try {
      return candidates()
    } catch (error) {
      if (error instanceof PyroError && error.code === 'runtime_missing') return []
      throw error
    }
  }
}

let compiled: string | undefined
/** The filter is the same for every sandbox. */
function filter(): string {
  compiled ??= seccompFilter().toString('base64')
  return compiled
}
