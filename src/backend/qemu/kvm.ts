/** Whether machines can have the real processor here. */
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { release } from 'node:os'
import { dirname } from 'node:path'
import { bootId } from '../process.ts'
import { atLeast, type Qemu, type Version } from './probe.ts'

const DEVICE = '/dev/kvm'
/** The first that takes /dev/kvm as a descriptor. */
const TAKES_DESCRIPTOR: Version = [8, 2]

/** How a machine's user gets at /dev/kvm. */
export interface KvmAccess {
  descriptor: boolean
  groups: number[]
  keepGroups: boolean
}
/** Why there is no KVM, and the one command that would better it, where there is one. */
export interface NoKvm {
  reason: string
  hint?: string
}

/** What is known of the device, in a form that needs no device. */
export interface DeviceFacts {
  /** Null: there is none. Else what stat says of it. */
  device: { mode: number; gid: number } | null
  /** Whether this process may read and write it. */
  allowed: boolean
  mode: 'root' | 'user'
  /** Groups of this process. */
  groups: number[]
}

export function deviceFacts(mode: 'root' | 'user'): DeviceFacts {
  const device = existsSync(DEVICE) ? statSync(DEVICE) : null
  let allowed = false
  try {
    accessSync(DEVICE, constants.R_OK | constants.W_OK)
    allowed = device !== null
  } catch {
    // Closed to this user.
  }
  return { device, allowed, mode, groups: process.getgroups?.() ?? [] }
}

/**
 * With a QEMU that takes a descriptor it is enough that the engine may open the device. An older one opens it itself, as
 * the machine's own user: then the device must be open to all, or to a group that this user can be given.
 */
export function kvmAccess(
  { device, allowed, mode, groups }: DeviceFacts,
  version: Version,
): KvmAccess | NoKvm {
  if (device === null)
    return { reason: 'This host has no /dev/kvm: no virtualization, or it is not switched on.' }
  if (!allowed)
    return {
      reason: 'This user may not use /dev/kvm.',
      hint: 'sudo usermod -aG kvm $USER, then log in again',
    }
  const none = { descriptor: false, groups: [], keepGroups: false }
  if (atLeast(version, TAKES_DESCRIPTOR)) return { ...none, descriptor: true }
  if ((device.mode & 0o006) === 0o006) return none
  const forGroup = (device.mode & 0o060) === 0o060
  if (forGroup && mode === 'root' && device.gid !== 0) return { ...none, groups: [device.gid] }
  if (forGroup && mode === 'user' && groups.includes(device.gid)) return { ...none, keepGroups: true }
  return {
    reason: `/dev/kvm is closed to the users that machines run as, and QEMU ${version.join('.')} takes no descriptor of it.`,
    hint: 'sudo chgrp kvm /dev/kvm && sudo chmod 0660 /dev/kvm',
  }
}

export const isDenied = (access: KvmAccess | NoKvm): access is NoKvm => 'reason' in access

/**
 * Whether our kernel really runs under KVM: on some hosts the device is there, opens, and QEMU aborts. `trial` is asked
 * once for each QEMU, kernel, host kernel and boot.
 * @returns null, or why not.
 */
export async function kvmWorks(
  file: string,
  qemu: Qemu,
  kernel: string,
  trial: () => Promise<string | null>,
): Promise<string | null> {
  const key = [qemu.fingerprint, qemu.machine, kernel, release(), bootId()].join(' ')
  const known = remembered(file, key)
  if (known !== undefined) return known
  const why = await trial()
  mkdirSync(dirname(file), { recursive: true })
  const temporary = `${file}.${process.pid}`
  writeFileSync(temporary, JSON.stringify({ key, why }))
  renameSync(temporary, file)
  return why
}

function remembered(file: string, key: string): string | null | undefined {
  try {
    const saved = JSON.parse(readFileSync(file, 'utf8')) as { key: string; why: string | null }
    return saved.key === key ? saved.why : undefined
  } catch {
    return undefined
  }
}
