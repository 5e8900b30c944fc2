/**
 * The main job on a real Firecracker, by the command line as a person does it: create with a seed, exec, lose the engine,
 * export, delete, and nothing is left. Runs where /dev/kvm works.
 *   node scripts/smoke/job.ts FOLDER      (for all it writes; removed at the end)
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { existsSync, globSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { release } from 'node:os'
import { join } from 'node:path'

const ENVIRONMENT = 'debian:12-base'
const COMMAND_MS = 240_000

const checkout = join(import.meta.dirname, '../..')
const folder = process.argv[2]
if (folder === undefined) throw new Error('usage: job.ts FOLDER')
const project = join(folder, 'project')
const home = join(folder, 'home')
mkdirSync(join(project, 'src'), { recursive: true })
writeFileSync(join(project, 'src/numbers.txt'), '1\n2\n3\n')
writeFileSync(join(project, 'remove-me'), '')

const began = performance.now()
function say(what: string): void {
  console.log(`${((performance.now() - began) / 1000).toFixed(1).padStart(6)} s  ${what}`)
}
function pyro(...args: string[]): { code: number; stdout: string; stderr: string } {
  const env = { ...process.env, PYRO_HOME: home }
  const options = { cwd: project, env, encoding: 'utf8', timeout: COMMAND_MS, maxBuffer: 2 ** 26 } as const
  const { status, signal, error, stdout, stderr } = spawnSync(join(checkout, 'bin/pyro'), args, options)
  if (status === null) throw new Error(`pyro ${args.join(' ')} was ended by ${signal}`, { cause: error })
  return { code: status, stdout, stderr }
}
function must(...args: string[]): string {
  const { code, stdout, stderr } = pyro(...args)
  assert.equal(code, 0, `pyro ${args.join(' ')} ended with ${code}: ${stderr}${stdout}`)
  return stdout
}
/** Starts the engine where it is not there; an emulated processor may take longer for it than a client waits. */
function enginePid(): number {
  const asked = performance.now()
  for (;;) {
    const { code, stdout, stderr } = pyro('workspace', 'list', '--json')
    if (code === 0) return JSON.parse(must('daemon', 'status', '--json')).pid
    assert.ok(performance.now() - asked < COMMAND_MS, stderr + stdout)
  }
}

try {
  enginePid()
  say('the engine runs')
  const size = ['--vcpu-count', '1', '--mem-mib', '512']
  const create = ['workspace', 'create', ENVIRONMENT, '--backend', 'firecracker', '--name', 'job', '--json']
  const made = JSON.parse(must(...create, '--seed-path', '.', ...size))
  assert.equal(made.backend, 'firecracker')
  assert.equal(made.isolation, 'machine')
  assert.equal(made.workspace_seed.files, 2)
  say(`created ${made.workspace_id}: ${made.backend}, ${made.isolation}, ${made.limits.mem_mib} MiB`)

  const script = [
    'uname -r; id -u; nproc; ls /sys/class/net; ls src remove-me',
    'sum=$(($(tr "\\n" + <src/numbers.txt)0)); echo $sum >sum.txt; rm remove-me; mkdir out; echo a >out/a',
    'echo note >&2; exit 3',
  ].join('\n')
  const ran = pyro('workspace', 'exec', 'job', '--', 'sh', '-c', script)
  assert.equal(ran.code, 3, ran.stderr + ran.stdout)
  const [kernel, ...rest] = ran.stdout.split('\n')
  assert.deepEqual(rest, ['0', '1', 'lo', 'remove-me', '', 'src:', 'numbers.txt', ''])
  assert.match(ran.stderr, /^note$/m)
  say(`a command ran under ${kernel}; this machine has ${release()}`)

  process.kill(enginePid(), 'SIGKILL')
  enginePid()
  assert.equal(must('workspace', 'exec', 'job', '--', 'cat', 'sum.txt'), '6\n')
  say('the engine was killed; the next one goes on with the machine')

  const flood = pyro('workspace', 'exec', 'job', '--', 'sh', '-c', 'head -c 4000000 /dev/zero | tr "\\0" x')
  assert.equal(flood.stdout.length, 4_000_000)
  say('4 MB of output arrived whole')

  must('workspace', 'export', 'job', 'sum.txt', '--output', join(folder, 'sum.txt'))
  must('workspace', 'export', 'job', 'out', '--output', join(folder, 'out'))
  assert.equal(readFileSync(join(folder, 'sum.txt'), 'utf8'), '6\n')
  assert.equal(readFileSync(join(folder, 'out/a'), 'utf8'), 'a\n')
  assert.ok(existsSync(join(project, 'remove-me')), 'the seed itself is touched')
  say('a file and a folder were exported')

  const gone = JSON.parse(must('workspace', 'delete', 'job', '--json'))
  assert.equal(gone.deleted, true)
  assert.deepEqual([gone.changes.added, gone.changes.deleted], [3, 1])
  say('deleted')
  must('daemon', 'stop', '--delete-workspaces')
  assert.deepEqual(left(made.workspace_id), [])
  say('nothing is left: no process, mount, cgroup, socket or file')
} catch (error) {
  for (const console of globSync(join(home, 'workspaces/*/console.log')))
    process.stdout.write(`--- ${console}\n${readFileSync(console, 'latin1').slice(-4000)}\n`)
  const kernel = spawnSync('dmesg', { encoding: 'utf8' }).stdout ?? ''
  console.log(`--- the kernel's last lines\n${kernel.split('\n').slice(-12).join('\n')}`)
  const log = join(home, 'engine.log')
  if (existsSync(log)) process.stdout.write(`--- engine.log\n${readFileSync(log, 'utf8').slice(-6000)}\n`)
  pyro('daemon', 'stop', '--delete-workspaces')
  throw error
} finally {
  rmSync(folder, { recursive: true, force: true })
}

/** What still names the workspace. */
function left(id: string): string[] {
  const found = [
    ...readdirSync(join(home, 'workspaces')),
    ...globSync(`${home}/run/*${id}*`),
    ...globSync(`/sys/fs/cgroup/{,*/}*${id}*`),
  ]
  for (const process of globSync('/proc/[0-9]*'))
    for (const file of ['cmdline', 'mountinfo'])
      try {
        if (readFileSync(join(process, file), 'latin1').includes(id)) found.push(join(process, file))
      } catch {
        // It has ended meanwhile.
      }
  return found
}
