/** Where a machine's process runs and what it is started with. Pure. */
import { basename, join } from 'node:path'
import type { SandboxSpec } from '../backend.ts'
import type { Jail, MachineProgram, Owner } from '../../hand/protocol.ts'
import { API_SOCKET, diskFile, INITRAMFS, KERNEL } from './config.ts'
import type { Found } from './probe.ts'

export interface PlaceOptions {
  id: string
  mode: 'root' | 'user'
  /** Folder of the holder's mount namespace that every machine's user can reach. */
  stage: string
  runtimeDir: string
}

export interface Place {
  /** Mount point of the jail, in the holder's mount namespace. */
  dir: string
  /** Folder of the machine's sockets, on this machine. */
  sockets: string
}

export function placeOf({ id, stage, runtimeDir }: Omit<PlaceOptions, 'mode'>): Place {
  return { dir: join(stage, id), sockets: join(runtimeDir, id) }
}

/** Sockets as this machine's programs reach them. */
export const socketOf = (runtimeDir: string, id: string, name: string) => join(runtimeDir, id, basename(name))

/**
 * The jailer's root is fixed by its own rule; a plain process has none and finds its files where they are mounted. Images
 * are bound, not linked or copied: a link would need one file system and another owner, and fails across them.
 */
export function jailOf(
  options: PlaceOptions,
  { firecracker }: Found,
  medium: Extract<SandboxSpec['medium'], { kind: 'disk' }>,
  guest: { kernel: string; initramfs: string },
): Jail {
  const jailed = options.mode === 'root'
  return {
    ...placeOf(options),
    root: jailed ? join(basename(firecracker), options.id, 'root') : '',
    devices: jailed,
    owner: medium.owner,
    files: [
      { source: guest.kernel, name: KERNEL, read_only: true },
      { source: guest.initramfs, name: INITRAMFS, read_only: true },
      ...medium.disks.map((disk) => ({
        source: disk.path,
        name: diskFile(disk),
        read_only: disk.readOnly,
      })),
    ],
  }
}

/** What the process calls a file of its jail. */
export const inJail = (jail: Jail) => (name: string) =>
  jail.devices ? `/${name}` : join(jail.dir, jail.root, name)

/**
 * As root the jailer, which takes the process's root away and becomes the machine's user; as an ordinary user Firecracker
 * itself, as a subordinate user without a capability that keeps the engine's groups: one of them opens /dev/kvm. Its
 * system call filter is on either way.
 */
export function programOf(
  id: string,
  { firecracker, jailer }: Found,
  jail: Jail,
): Pick<MachineProgram, 'program' | 'args' | 'privileged' | 'keep_groups'> {
  const own = ['--api-sock', inJail(jail)(API_SOCKET), '--level', 'Error', '--show-level']
  if (!jail.devices || jailer === null)
    return { program: firecracker, args: ['--id', id, ...own], keep_groups: true }
  const { uid, gid }: Owner = jail.owner
  const args = [
    ...['--id', id, '--exec-file', firecracker, '--uid', `${uid}`, '--gid', `${gid}`],
    ...['--chroot-base-dir', jail.dir],
  ]
  return { program: jailer, args: [...args, '--', ...own], privileged: true }
}
