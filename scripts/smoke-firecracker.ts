// The main job on a real Firecracker: on this machine where /dev/kvm really works, else inside an emulated AMD machine.
//   npm run smoke:firecracker [-- --emulated]        (--emulated: also where there is KVM)
// Exit status: 0 passed, 1 failed, 75 not run (the last line says what is missing; never to be taken for passed).
import { execFileSync, spawnSync } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { firecrackerBackend } from '../src/backend/firecracker/index.ts'
import { type Found, findFirecracker } from '../src/backend/firecracker/probe.ts'
import { toPyroError } from '../src/contract/errors.ts'
import { guestImages } from '../src/environment/guest.ts'
import { handService } from '../src/hand/index.ts'
import { programs } from '../src/wiring/package.ts'
import { resolvePaths } from '../src/wiring/paths.ts'
import { PROCESSORS, runEmulated } from './smoke/emulated.ts'

const NOT_RUN = 75
const ENVIRONMENT = 'debian:12-base'
const SCRATCH = '/mnt'
const MEMORY_MIB = 3072
const EMULATED_MS = 900_000

const checkout = join(import.meta.dirname, '..')
const job = join(import.meta.dirname, 'smoke/job.ts')
const { cache } = resolvePaths()
const folder = mkdtempSync(join(tmpdir(), 'pyro-smoke-'))
/**
 * What Node compiles is kept, as the published package has it: here, where the commands of the job run once before. The
 * emulated machine then starts Node without taking the types out of TypeScript, which is WebAssembly and half of the time.
 */
const compiled = join(folder, 'compile')
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))

const found = await findFirecracker().catch((error) => {
  const { message, hint } = toPyroError(error)
  return notRun(`${message} ${hint ?? ''}`)
})
const version = `Firecracker ${found.version.join('.')} (${found.firecracker})`
console.log(`smoke: ${version}, jailer ${found.jailer ?? 'none'}`)
prepare()
if (!process.argv.includes('--emulated') && (await hardwareWorks())) {
  const { status } = spawnSync(process.execPath, [job, join(folder, 'job')], {
    stdio: 'inherit',
    env: environment(found),
  })
  finish(status ?? 1, "this machine's KVM")
} else finish(await emulated(), 'an emulated AMD machine (times are an emulator’s)')

function finish(status: number, where: string): void {
  console.log(`smoke: ${status === 0 ? 'passed' : 'failed'}: the main job on ${version}, in ${where}`)
  process.exit(status === 0 ? 0 : 1)
}

function notRun(why: string): never {
  console.log(`not run: ${why}`)
  process.exit(NOT_RUN)
}

/** Guest kernel, initramfs and environment are made here: the emulated machine has no network. */
function prepare(): void {
  const env = { ...process.env, PYRO_HOME: join(folder, 'prepare'), NODE_COMPILE_CACHE: compiled }
  const options = { env, encoding: 'utf8' } as const
  const run = (...args: string[]) => spawnSync(join(checkout, 'bin/pyro'), args, options)
  const { status, stderr } = run('prepare', ENVIRONMENT)
  // Each fails for want of a workspace or an argument, and has been compiled then.
  run('workspace', 'exec', 'none', '--', 'true')
  run('workspace', 'export', 'none', 'none', '--output', join(folder, 'none'))
  run('workspace', 'delete', 'none')
  run('daemon', 'status')
  run('daemon', 'stop')
  spawnSync(process.execPath, [job], options)
  if (status !== 0) notRun(`${ENVIRONMENT} cannot be prepared: ${stderr.trim()}`)
}

/** Asks the backend, as the engine does. */
async function hardwareWorks(): Promise<boolean> {
  const home = join(folder, 'ask')
  mkdirSync(home)
  const hand = handService({ binary: programs().native, home, runtimeDir: home, onHolder() {} })
  try {
    const images = guestImages({ hand: hand.call, cache, binary: programs().guest })
    const backend = firecrackerBackend({ hand, guestImages: images, runtimeDir: home, cache })
    const { usable, reason } = await backend.availability()
    if (!usable) console.log(`smoke: not on this machine itself: ${reason}`)
    return usable
  } finally {
    await hand.close(true)
  }
}

async function emulated(): Promise<number> {
  for (const program of ['qemu-system-x86_64', 'mkfs.ext4', 'dpkg-deb', 'apt-get'])
    if (spawnSync('sh', ['-c', 'command -v "$1"', 'sh', program]).status !== 0)
      notRun(`there is no KVM here, and an emulated machine needs ${program}`)
  try {
    const init = join(folder, 'init')
    const build = ['build', '-trimpath', '-ldflags', '-s -w', '-o', init, './smoke/init']
    const goEnv = { ...process.env, CGO_ENABLED: '0', GOTOOLCHAIN: 'local', GOFLAGS: '-buildvcs=false' }
    execFileSync(findGo(), build, { cwd: join(checkout, 'native'), env: goEnv })
    const qemu = execFileSync('qemu-system-x86_64', ['--version'], { encoding: 'utf8' }).split('\n')[0]
    console.log(
      `smoke: booting an AMD machine without hardware's help: ${qemu}, ${PROCESSORS} processor, ${MEMORY_MIB} MiB, with nested SVM`,
    )
    return await runEmulated({
      cache,
      init,
      argv: [process.execPath, job, join(SCRATCH, 'job')],
      env: environment(found),
      cwd: '/',
      scratch: SCRATCH,
      memoryMib: MEMORY_MIB,
      timeoutMs: EMULATED_MS,
      output: (text) => process.stdout.write(text.replaceAll('\r', '')),
    })
  } catch (error) {
    console.error(String(error))
    return 1
  }
}

/** The Go that built the native binary. */
function findGo(): string {
  const script =
    'cache=$1; say() { :; }; die() { echo "$@" >&2; exit 1; }; . scripts/lib/go.sh; find_go; echo "$go"'
  return execFileSync('bash', ['-c', script, 'bash', cache], { cwd: checkout, encoding: 'utf8' }).trim()
}

function environment({ firecracker, jailer }: Found): Record<string, string> {
  return {
    PATH: `${dirname(process.execPath)}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`,
    HOME: process.env['HOME'] ?? '/root',
    PYRO_CACHE: cache,
    NODE_COMPILE_CACHE: compiled,
    PYRO_FIRECRACKER: firecracker,
    ...(jailer === null ? {} : { PYRO_JAILER: jailer }),
  }
}
