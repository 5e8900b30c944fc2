/** A machine as a QEMU command line, and the descriptors it refers to. Pure. */
import type { ChannelClass, DiskMedium, SandboxSpec } from '../backend.ts'
import { type Acceleration, kernelLine } from './kernel.ts'

export type MachineType = 'microvm' | 'q35'

export interface QemuMachine {
  id: string
  limits: SandboxSpec['limits']
  medium: DiskMedium
  machine: MachineType
  accel: Acceleration
  /** An uncompressed kernel (ELF, PVH entry). Both are opened again by QEMU as its own user: readable by everybody. */
  kernel: string
  initramfs: string | null
  sockets: Sockets
}

export type Sockets = Record<ChannelClass | 'qmp', string>

/** What the hand is asked for. */
export interface QemuProgram {
  args: string[]
  sockets: string[]
  files: { path: string; write: boolean }[]
}

export const CLASSES: ChannelClass[] = ['control', 'bulk', 'network']

/** The hand hands over what it opened in this order, from this descriptor up. */
const FIRST_FD = 3

/** MiB that the emulator may keep of translated code; its own choice is an eighth of the machine's memory. */
export const TRANSLATIONS_MIB = 256

/**
 * Nothing has a path: sockets come listening, files come opened, so that QEMU's user needs no way to them and a QEMU that
 * was taken over has none. `/dev/fdset/N` is QEMU's name for a descriptor that it was given. Kernel and initramfs are
 * read by code that knows no such names, hence by /proc.
 */
export function qemuProgram(machine: QemuMachine): QemuProgram {
  const { medium, accel } = machine
  const bus = machine.machine === 'microvm' ? 'device' : 'pci'
  const sockets = [...CLASSES, 'qmp' as const].map((name) => machine.sockets[name])
  const socketFd = (index: number) => FIRST_FD + index
  const files: QemuProgram['files'] = []
  const opened = (path: string, write: boolean) => FIRST_FD + sockets.length + files.push({ path, write }) - 1
  const kernelFd = opened(machine.kernel, false)
  const initramfsFd = machine.initramfs === null ? null : opened(machine.initramfs, false)
  const diskArgs = medium.disks.flatMap(({ name, path, readOnly }) =>
    disk(name, readOnly, opened(path, !readOnly), bus),
  )
  const kvmFd = accel.kind === 'kvm' && accel.descriptor ? opened('/dev/kvm', true) : null

  const args = [
    ...['-name', `pyro-${machine.id}`],
    ...['-nodefaults', '-no-user-config', '-no-reboot'],
    ...['-display', 'none', '-nic', 'none'],
    // It gains no rights, starts nothing, and changes neither its priorities nor its affinity.
    ...['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny'],
    ...['-M', machineType(machine.machine)],
    ...processor(accel, kvmFd),
    ...['-smp', String(machine.limits.vcpu_count), '-m', `${machine.limits.mem_mib}M`],
    ...['-kernel', `/proc/self/fd/${kernelFd}`],
    ...(initramfsFd === null ? [] : ['-initrd', `/proc/self/fd/${initramfsFd}`]),
    ...['-append', kernelLine(machine)],
    // The console is what the program says: the hand bounds it.
    ...['-chardev', 'stdio,id=console,mux=off,signal=off', '-serial', 'chardev:console'],
    ...['-chardev', listening('qmp', socketFd(CLASSES.length)), '-mon', 'chardev=qmp,mode=control'],
    // Without this the devices are of the time before virtio 1.0.
    ...['-global', 'virtio-mmio.force-legacy=false'],
    ...['-device', `virtio-rng-${bus}`],
    // Port 0 would be a console's.
    ...['-device', `virtio-serial-${bus},max_ports=${CLASSES.length + 1}`],
    ...CLASSES.flatMap((name, index) => [
      ...['-chardev', listening(name, socketFd(index))],
      ...['-device', `virtserialport,chardev=${name},name=pyro.${name},nr=${index + 1}`],
    ]),
    ...diskArgs,
    ...(kvmFd === null ? [] : ['-add-fd', `fd=${kvmFd},set=${kvmFd}`]),
  ]
  return { args, sockets, files }
}

/**
 * Without `erms`, kernel and programs copy eight bytes at a time instead of one: the emulator takes each step of a string
 * instruction by itself.
 */
const EMULATED_CPU = 'max,-erms'

/** Timers and interrupts that our kernel does not use are left out; it finds its devices by ACPI. */
function machineType(machine: MachineType): string {
  return machine === 'microvm' ? 'microvm,acpi=on,pit=off,pic=off,rtc=on,usb=off' : 'q35,usb=off'
}

function processor(accel: Acceleration, kvmFd: number | null): string[] {
  if (accel.kind === 'tcg')
    return ['-accel', `tcg,thread=multi,tb-size=${TRANSLATIONS_MIB}`, '-cpu', EMULATED_CPU]
  return ['-accel', kvmFd === null ? 'kvm' : `kvm,device=/dev/fdset/${kvmFd}`, '-cpu', 'host']
}

const listening = (id: string, fd: number) => `socket,id=${id},fd=${fd},server=on,wait=off`

/**
 * Written through this machine's page cache, and flushed to the disk when the guest flushes: what the guest has synced
 * survives a crash of either. Sealed images are shared and never written, so they need no lock; the writable one is
 * locked, so that no two machines ever have it. What the guest discards is given back.
 */
function disk(name: string, readOnly: boolean, fd: number, bus: string): string[] {
  const access = readOnly ? 'read-only=on,locking=off' : 'read-only=off,locking=on,discard=unmap'
  const file = `driver=file,filename=/dev/fdset/${fd},aio=threads,cache.direct=off,cache.no-flush=off`
  return [
    ...['-add-fd', `fd=${fd},set=${fd}`],
    ...['-blockdev', `${file},auto-read-only=off,${access},node-name=${name}-file`],
    ...['-blockdev', `driver=raw,file=${name}-file,${access.replace(/,locking=\w+/, '')},node-name=${name}`],
    ...['-device', `virtio-blk-${bus},drive=${name},serial=${name},write-cache=${readOnly ? 'off' : 'on'}`],
  ]
}
