// What the list of an environment promises really runs in it, in a container and in a machine, as root and as a user.
import { existsSync } from 'node:fs'
import { dirname } from 'node:path'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { newFolder, removeFolder, startEngine, type TestEngine } from '../support/engine.ts'
import { mountsBelow, processesNaming } from '../support/leaks.ts'
import { missingForMachines } from '../support/machines.ts'
import { addUser, isRoot, removeUser, type User } from '../support/users.ts'

/** A build fetches up to 200 MB and runs thousands of small programs; other tests run beside it. */
const BUILD_MS = 390_000
const LONG = process.env['PYRO_TEST_LONG'] === '1'

/** Each line is run by a shell, and its output has to match. */
const BASE: [string, RegExp][] = [
  ['. /etc/os-release; echo $ID $VERSION_ID', /^debian 12$/],
  [
    'echo $LANG; locale charmap; date +%Z; echo $HOME; echo $PATH',
    /^C\.UTF-8\nUTF-8\nUTC\n\/root\n\/usr\/local\/sbin:/,
  ],
  [
    'dpkg --audit; ls -A /var/lib/apt/lists /var/cache/apt/archives | grep -c "\\.deb$\\|InRelease" || true',
    /^0$/,
  ],
]
const TOOLS: [string, RegExp][] = [
  ['git --version', /^git version 2\.39/],
  // Whoever owns the files.
  [
    'git init -q r && chown -R 1000 r && cd r && git -c user.name=a -c user.email=a@b commit -qm x --allow-empty && git log --format=%s',
    /^x$/,
  ],
  ['curl --version | head -n 1; cd /tmp; echo hi > f; curl -s file:///tmp/f', /^curl 7\.88[^\n]*\nhi$/],
  [
    'python3 -c "import ssl, sys; print(len(ssl.create_default_context().get_ca_certs()) > 100, sys.version_info[:2])"',
    /^True \(3, 11\)$/,
  ],
  ['printf "a\\nb\\n" | rg -c b; echo "{\\"a\\": [1, 2]}" | jq -c .a', /^1\n\[1,2\]$/],
]
const BUILD: [string, RegExp][] = [
  [
    'printf "int puts(const char *); int main(void) { puts(\\"compiled\\"); }" > a.c && gcc a.c -o a && ./a',
    /^compiled$/,
  ],
  ['printf "all:\\n\\t@echo made\\n" > Makefile && make; pkg-config --version', /^made\n1\./],
  ['node -p "process.version.split(\'.\')[0]"; npm --version', /^v18\n9\./],
]
const PROGRAMS: Record<string, [string, RegExp][]> = {
  'debian:12': [...BASE, ...TOOLS],
  'debian:12-build': [...BASE, ...TOOLS, ...BUILD],
}

const missing = ['/usr/bin/mmdebstrap', '/usr/bin/apt-get'].filter((path) => !existsSync(path))
const noMachines = missingForMachines()

let user: User | undefined
afterAll(() => {
  if (user) removeUser(user)
})
const ordinary = () => (user ??= addUser(`pyrocat${process.pid}`))

interface Case {
  environment: string
  backend: 'oci' | 'qemu'
  who: 'root' | 'an ordinary user'
}
const cases: Case[] = [
  { environment: 'debian:12', backend: 'oci', who: 'root' },
  { environment: 'debian:12', backend: 'qemu', who: 'root' },
  { environment: 'debian:12', backend: 'oci', who: 'an ordinary user' },
  ...(LONG
    ? ([
        { environment: 'debian:12-build', backend: 'oci', who: 'root' },
        { environment: 'debian:12-build', backend: 'qemu', who: 'root' },
        { environment: 'debian:12-build', backend: 'oci', who: 'an ordinary user' },
      ] as Case[])
    : []),
]

function whyNot({ backend, who }: Case): string | null {
  if (missing.length > 0) return `needs ${missing.join(', ')}`
  if (backend === 'qemu' && noMachines.length > 0) return `needs ${noMachines.join(', ')}`
  return who === 'root' && !isRoot ? 'needs root' : null
}

describe.each(cases)('$environment on $backend as $who', (one) => {
  const why = whyNot(one)
  if (why !== null) return test.skip(why, () => {})
  const { environment, backend, who } = one
  let engine: TestEngine
  let folder: string
  let workspace_id: string

  beforeAll(async () => {
    const user = who === 'root' || !isRoot ? undefined : ordinary()
    folder = newFolder(user)
    engine = await startEngine({ folder, user })
    const pulled = await engine.call('env_pull', { environment, backend })
    expect(pulled).toMatchObject({ environment, backend, action: expect.stringMatching(/made|kept/) })
    expect(pulled.image === null).toBe(backend === 'oci')
    expect(pulled.guest === null).toBe(backend === 'oci')
    workspace_id = (await engine.call('workspace_create', { environment, backend })).workspace_id
  }, BUILD_MS)
  afterAll(async () => {
    await engine.stop()
    expect(processesNaming(folder)).toEqual([])
    expect(mountsBelow(folder)).toEqual([])
    removeFolder(folder)
  })

  test.each(PROGRAMS[environment]!)('%s', { timeout: 240_000 }, async (command, said) => {
    const first = await engine.call('workspace_exec', { workspace_id, command })
    let { state, exit_code, stdout } = first
    // An emulated processor may take longer than one answer waits.
    for (let cursor = first.stdout_stream.cursor; state === 'running'; ) {
      const { job_id } = first
      const more = await engine.call('workspace_job_read', {
        workspace_id,
        job_id,
        stdout_cursor: cursor,
        wait_ms: 40_000,
      })
      stdout += more.stdout.data
      cursor = more.stdout.cursor
      state = more.state
      exit_code = more.exit_code
    }
    expect(stdout.trim(), first.stderr).toMatch(said)
    expect(exit_code).toBe(0)
  })

  test("the workspace's user has a home, and is nobody else", async () => {
    const command = 'id -u; id -un; echo $HOME; touch ~/mine && stat -c %U ~/mine'
    const { stdout } = await engine.call('workspace_exec', { workspace_id, command, user: 'pyro' })
    expect(stdout).toBe('1000\npyro\n/home/pyro\npyro\n')
  })

  test('it is warm, says what it holds and who needs it', async () => {
    const seen = await engine.call('env_inspect', { environment })
    expect(seen).toMatchObject({ name: environment, state: 'warm', reason: null, verified: false })
    expect(seen.packages.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['git', 'curl', 'ca-certificates', 'python3', 'ripgrep', 'jq', 'procps', 'apt']),
    )
    expect(seen.used_by).toContainEqual({ workspace_id, name: null, home: engine.home })
    expect(seen.checksum).toMatch(/^sha256:[0-9a-f]{64}$/)
    expect(seen.snapshot.map(({ codename }) => codename)).toContain('bookworm')
    const doctor = await engine.call('doctor', { environment })
    expect(doctor.environment).toMatchObject({ name: environment, pull: null })
    expect(doctor.checks.find(({ name }) => name === 'workspace')?.status).toBe('ok')
  }, 120_000)

  // The cache of root is kept for the next run.
  test.skipIf(who === 'root' || !isRoot)(
    'prune takes it away when nobody needs it, though its files are of other ids',
    async () => {
      const { cache_path } = await engine.call('env_inspect', { environment })
      const refused = await engine.call('env_prune', { environment }).catch((error) => error)
      expect(refused.body).toMatchObject({ code: 'environment_in_use', retryable: false })
      expect(refused.body.message).toContain(workspace_id)
      await engine.call('workspace_delete', { workspace_id })
      const { removed, freed_bytes } = await engine.call('env_prune', { environment })
      expect(removed).toMatchObject([{ what: 'environment', environment, path: dirname(cache_path!) }])
      expect(freed_bytes).toBeGreaterThan(200e6)
      expect(existsSync(cache_path!)).toBe(false)
      const { environments } = await engine.call('env_list', {})
      expect(environments.find(({ name }) => name === environment)?.state).toBe('cold')
    },
    60_000,
  )
})
