/**
 * Runs one command of this machine inside an emulated AMD machine that has a working /dev/kvm (QEMU's TCG emulates SVM). It
 * sees this machine's whole file tree as it is, read-only through 9p, with a layer over it that forgets; what it keeps on
 * its scratch disk is gone with the folder.
 */
import { execFileSync, spawn } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import { character, directory, file, initramfs } from './initramfs.ts'
import { debianKernel } from './kernel.ts'

export interface Emulated {
  cache: string
  /** Static first process: native/smoke/init. */
  init: string
  argv: string[]
  env: Record<string, string>
  cwd: string
  /** Where the scratch disk is mounted inside. */
  scratch: string
  memoryMib: number
  timeoutMs: number
  /** Takes what the command says, as it says it. */
  output: (text: string) => void
}

const EXIT = /^smoke: exit (\d+)/m
/**
 * One processor. V8 compiles WebAssembly, which takes the types out of TypeScript at each start of Node, on one thread and
 * puts the result in its place while another thread runs there. With two emulated processors, each a thread of QEMU's,
 * Node died of that now and then (SIGSEGV: it fetched an instruction from a page that was no longer executable), also
 * with no Firecracker beside it. With one, nothing runs while code is written.
 */
export const PROCESSORS = 1
const KERNEL_LINE = 'console=ttyS0 quiet panic=-1 reboot=t mitigations=off nokaslr'

/** @returns the command's exit status; @throws when the machine did not get as far. */
export async function runEmulated(options: Emulated): Promise<number> {
  const { image, modules } = debianKernel(options.cache)
  const folder = mkdtempSync(join(tmpdir(), 'pyro-smoke-'))
  const remove = () => rmSync(folder, { recursive: true, force: true })
  try {
    const { argv, cwd, scratch } = options
    const env = Object.entries(options.env).map(([name, value]) => `${name}=${value}`)
    const archive = initramfs([
      directory('dev'),
      character('dev/console', 5, 1),
      file('init', readFileSync(options.init), 0o100755),
      file('task.json', JSON.stringify({ argv, env, cwd, scratch })),
      directory('modules'),
      file('modules/order', modules.map((module) => `${basename(module)}\n`).join('')),
      ...modules.map((module) => file(`modules/${basename(module)}`, readFileSync(module))),
    ])
    writeFileSync(join(folder, 'initramfs'), archive)
    execFileSync('truncate', ['-s', '16G', join(folder, 'scratch')])
    execFileSync('mkfs.ext4', ['-q', '-F', '-m', '0', join(folder, 'scratch')], { stdio: 'ignore' })
    // An interrupted run leaves neither machine nor folder: both go when this process exits.
    process.on('exit', remove)
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.once(signal, () => process.exit(1))
    return await boot(options, image, folder)
  } finally {
    process.off('exit', remove)
    remove()
  }
}

function boot({ memoryMib, timeoutMs, output }: Emulated, image: string, folder: string): Promise<number> {
  const log = join(folder, 'kernel.log')
  const machine = spawn(
    'qemu-system-x86_64',
    [
      ...[
        '-M',
        'q35',
        '-accel',
        'tcg',
        '-cpu',
        'EPYC,+svm,+npt',
        '-m',
        `${memoryMib}`,
        '-smp',
        `${PROCESSORS}`,
      ],
      ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot', '-nic', 'none'],
      ...['-kernel', image, '-initrd', join(folder, 'initramfs'), '-append', KERNEL_LINE],
      ...['-serial', `file:${log}`, '-serial', 'stdio', '-device', 'virtio-rng-pci'],
      ...['-virtfs', 'local,path=/,mount_tag=host,security_model=none,readonly=on,multidevs=remap'],
      ...['-drive', `file=${join(folder, 'scratch')},if=none,id=scratch,format=raw,cache=unsafe`],
      ...['-device', 'virtio-blk-pci,drive=scratch'],
    ],
    { stdio: ['ignore', 'pipe', 'pipe'] },
  )
  let last = ''
  let complaints = ''
  const collect = (text: string) => {
    last = (last + text).slice(-4096)
    output(text)
  }
  machine.stdout.setEncoding('utf8').on('data', collect)
  machine.stderr.setEncoding('utf8').on('data', (text) => {
    complaints = (complaints + text).slice(-4096)
  })
  const timer = setTimeout(() => machine.kill('SIGKILL'), timeoutMs)
  const kill = () => machine.kill('SIGKILL')
  process.on('exit', kill)
  return new Promise((resolve, reject) => {
    machine.on('error', reject)
    machine.on('close', () => {
      clearTimeout(timer)
      process.off('exit', kill)
      const status = EXIT.exec(last)?.[1]
      if (status !== undefined) resolve(Number(status))
      else reject(new Error(`the emulated machine ended early.\n${complaints}\n${tail(log)}`))
    })
  })
}

function tail(path: string): string {
  try {
    return readFileSync(path, 'utf8').slice(-4000)
  } catch {
    return ''
  }
}
