/** A machine as requests to Firecracker, in the order in which they are made. Pure. */
import type { Workspace } from '../../contract/fields.ts'
import type { MachineDisk } from '../backend.ts'
import type { Put } from './api.gen.ts'
import { atLeast, type Version } from './probe.ts'

export type PutRequest = { [P in keyof Put]: readonly [path: P, body: Put[P]] }[keyof Put]

export interface MachineConfig {
  limits: Workspace['limits']
  disks: MachineDisk[]
  inspect: boolean
  /** Of the Firecracker that is asked. */
  version: Version
  /** Where the process sees a file of its jail. */
  inJail: (name: string) => string
}

/** Any but the reserved ones below 3: a machine's socket is its own, so all machines have the same. */
const GUEST_CID = 3
/** The first whose serial port can be limited. */
const SERIAL_LIMITS: Version = [1, 16, 0]
/** What a guest may write to its console: a start's worth at once, then 16 KiB in ten minutes. */
const CONSOLE = { one_time_burst: 262_144, size: 16_384, refill_time: 600_000 }

/** Files of a machine, by the names they have in its jail. */
export const KERNEL = 'kernel'
export const INITRAMFS = 'initramfs'
export const API_SOCKET = 'run/a'
export const VSOCK = 'run/v'
export const diskFile = (disk: MachineDisk) => `disk-${disk.name}`

export function machineRequests({ limits, disks, inspect, version, inJail }: MachineConfig): PutRequest[] {
  return [
    ...(atLeast(version, SERIAL_LIMITS) ? [['/serial', { rate_limiter: CONSOLE }] as const] : []),
    ['/machine-config', { vcpu_count: limits.vcpu_count, mem_size_mib: limits.mem_mib, smt: false }],
    [
      '/boot-source',
      {
        kernel_image_path: inJail(KERNEL),
        initrd_path: inJail(INITRAMFS),
        boot_args: kernelLine(disks, inspect, limits.pids_limit),
      },
    ],
    ...disks.map(
      (disk): PutRequest => [
        `/drives/${disk.name}`,
        {
          drive_id: disk.name,
          // With an initramfs there is none: Firecracker would add root=/dev/vda to the kernel's line.
          is_root_device: false,
          is_read_only: disk.readOnly,
          path_on_host: inJail(diskFile(disk)),
          // What the guest flushes is flushed here; `Unsafe`, the default, would say so and not do it.
          cache_type: 'Writeback',
        },
      ],
    ),
    ['/vsock', { guest_cid: GUEST_CID, uds_path: inJail(VSOCK) }],
    ['/entropy', {}],
    ['/actions', { action_type: 'InstanceStart' }],
  ]
}

/**
 * Firecracker's own default line without `nomodule` (the initramfs loads modules) and with a console, so that an init
 * that fails can say why. Disks are named by the order in which they were attached: its block devices have no serials
 * that could be chosen.
 */
export function kernelLine(disks: MachineDisk[], inspect: boolean, pids: number): string {
  const named = disks.map(({ name }, index) => `pyro.${name}=/dev/vd${String.fromCharCode(97 + index)}`)
  return [
    'console=ttyS0',
    'quiet',
    // There is no PCI bus to be looked for.
    'pci=off',
    'reboot=k',
    'panic=-1',
    '8250.nr_uarts=1',
    'i8042.noaux',
    'i8042.nomux',
    'i8042.dumbkbd',
    'swiotlb=noforce',
    `pyro.mode=${inspect ? 'inspect' : 'run'}`,
    ...named,
    'pyro.channel=vsock',
    `pyro.pids=${pids}`,
  ].join(' ')
}
