/** The kernel's command line in a QEMU machine. Pure. */
import type { DiskMedium, SandboxSpec } from '../backend.ts'

/** How the processor is had. With KVM: a descriptor for QEMUs that take one; others open /dev/kvm themselves. */
export type Acceleration =
  | { kind: 'kvm'; descriptor: boolean }
  /** What the guest's time stamp counter runs at: this machine's own. */
  | { kind: 'tcg'; tscKHz: number }

/**
 * An emulated machine has no timer that its counter could be measured with, so the kernel is told; it would otherwise wait
 * for one for good. Its mitigations would guard against a processor that does not speculate. `noapictimer` is not
 * among these: without the local timer a microvm has none at all, and sleeps never end.
 */
const EMULATED = [
  'no_timer_check',
  'noreplace-smp',
  'tsc=reliable',
  'nokaslr',
  'mitigations=off',
  // A fifth of the boot's instructions are the kernel's tests of its own ciphers.
  'cryptomgr.notests',
  // What the kernel does not know is init's environment: its threads are Go's, and waking another emulated processor for them
  // takes longer than what they do.
  'GOMAXPROCS=1',
]

export function kernelLine({
  accel,
  medium,
  limits,
}: {
  accel: Acceleration
  medium: DiskMedium
  limits: SandboxSpec['limits']
}): string {
  const { inspect, disks } = medium
  return [
    ...['console=ttyS0', 'quiet'],
    // A machine that panics or restarts ends: QEMU is told not to start it again.
    ...['panic=-1', 'reboot=t'],
    ...(accel.kind === 'tcg' ? [`tsc_early_khz=${accel.tscKHz}`, ...EMULATED] : []),
    `pyro.mode=${inspect ? 'inspect' : 'run'}`,
    ...disks.map(({ name }) => `pyro.${name}=serial:${name}`),
    'pyro.channel=virtio',
    `pyro.pids=${limits.pids_limit}`,
  ].join(' ')
}
