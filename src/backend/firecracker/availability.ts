/** Whether Firecracker can run our kernel here: really tried, once for each Firecracker, kernel and boot of this machine. */
import { execFile } from 'node:child_process'
import {
  accessSync,
  constants,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { toPyroError } from '../../contract/errors.ts'
import type { HandService } from '../../hand/index.ts'
import type { Availability } from '../backend.ts'
import { bootId } from '../process.ts'
import { type Found, findFirecracker, jailerMissing } from './probe.ts'

export interface Trial {
  hand: Pick<HandService, 'info'>
  guestImages: {
    describe: () => { state: 'ready' | 'cold' | 'unavailable'; reason: string | null }
    ensure: () => Promise<{ kernel: string; initramfs: string; fingerprint: string }>
  }
  cache: string
  env: NodeJS.ProcessEnv
}

const KVM = '/dev/kvm'
/** Two seconds on an emulated processor; a host that cannot run a guest often hangs instead of saying so. */
const TRIAL_MS = 15_000
const TRIAL_MEMORY_MIB = 128
/** Without a root to mount the kernel gives up: it has run. */
const RAN = 'Kernel panic - not syncing'

export async function availability(trial: Trial): Promise<Availability> {
  try {
    const found = await findFirecracker(trial.env)
    const { mode } = await trial.hand.info()
    if (mode === 'root' && found.jailer === null) throw jailerMissing(found.firecracker)
    const closed = kvmClosed(mode)
    if (closed !== null) return closed
    const { state, reason } = trial.guestImages.describe()
    if (state === 'unavailable') return no(`there is no kernel for guests: ${reason}`, null)
    // Making the guest's kernel takes a download: that is for whoever starts a machine.
    if (state === 'cold') return yes
    const failure = await tried(trial, found)
    return failure === null ? yes : no(failure, null)
  } catch (error) {
    const { message, hint } = toPyroError(error)
    return no(message, hint ?? null)
  }
}

const yes: Availability = { usable: true, hardware: true, reason: null, hint: null }
const no = (reason: string, hint: string | null): Availability => ({
  usable: false,
  hardware: true,
  reason: reason.replace(/\.$/, ''),
  hint,
})

/**
 * Firecracker opens the device itself. A jail has a node of its own that belongs to the machine's user; without one the
 * machine's user, who is a subordinate one, has the engine's groups and nothing else.
 */
function kvmClosed(mode: 'root' | 'user'): Availability | null {
  if (!existsSync(KVM))
    return no(`this host has no ${KVM}: no virtualization, or it is not switched on`, null)
  try {
    accessSync(KVM, constants.R_OK | constants.W_OK)
  } catch {
    return no(`this user may not use ${KVM}`, 'sudo usermod -aG kvm $USER, then log in again')
  }
  const device = statSync(KVM)
  const forAll = (device.mode & 0o006) === 0o006
  const forGroup = (device.mode & 0o060) === 0o060 && (process.getgroups?.() ?? []).includes(device.gid)
  if (mode === 'root' || forAll || forGroup) return null
  return no(
    `${KVM} is closed to the users that machines run as`,
    'sudo chgrp kvm /dev/kvm && sudo chmod 0660 /dev/kvm && sudo usermod -aG kvm $USER, then log in again',
  )
}

/** Why a kernel does not run, or null; the answer is kept until something that it depends on changes. */
async function tried({ guestImages, cache }: Trial, { firecracker }: Found): Promise<string | null> {
  const { kernel, fingerprint } = await guestImages.ensure()
  const { mtimeMs, size } = statSync(firecracker)
  const key = [firecracker, mtimeMs, size, fingerprint, bootId()].join(' ')
  const file = join(cache, 'firecracker-tried.json')
  try {
    const last = JSON.parse(readFileSync(file, 'utf8')) as { key: string; failure: string | null }
    if (last.key === key) return last.failure
  } catch {
    // Never tried, or not readable: it is tried now.
  }
  const failure = await runKernel(firecracker, kernel)
  mkdirSync(cache, { recursive: true })
  writeFileSync(`${file}.${process.pid}`, JSON.stringify({ key, failure }), { mode: 0o600 })
  renameSync(`${file}.${process.pid}`, file)
  return failure
}

/** Boots the kernel with nothing to run: it panics, and the machine ends. */
async function runKernel(firecracker: string, kernel: string): Promise<string | null> {
  const folder = mkdtempSync(join(tmpdir(), 'pyro-firecracker-'))
  try {
    const config = join(folder, 'config.json')
    const boot_args = 'console=ttyS0 8250.nr_uarts=1 quiet pci=off reboot=k panic=-1'
    const machine = {
      'boot-source': { kernel_image_path: kernel, boot_args },
      'machine-config': { vcpu_count: 1, mem_size_mib: TRIAL_MEMORY_MIB },
      drives: [],
    }
    writeFileSync(config, JSON.stringify(machine))
    const args = ['--no-api', '--config-file', config, '--level', 'Error']
    return await new Promise((resolve) => {
      const bounds = { timeout: TRIAL_MS, killSignal: 'SIGKILL', maxBuffer: 1_048_576, env: {} } as const
      execFile(firecracker, args, bounds, (error, stdout, stderr) => {
        if (stdout.includes(RAN)) resolve(null)
        else if (error?.killed) resolve(`a kernel did not run within ${TRIAL_MS / 1000} s`)
        else resolve(`a kernel does not run: ${lastLine(`${stdout}\n${stderr}`) || error?.message}`)
      })
    })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function lastLine(text: string): string {
  const lines = text.split('\n').map((line) => line.replace(/[^\x20-\x7e]/g, '').trim())
  return lines.filter(Boolean).at(-1)?.slice(-300) ?? ''
}
