/**
 * A repository fetched by this machine's own git, as its user would: with their settings, keys and helpers. It runs beside
 * the engine and not in the hand's namespaces, where ssh would not know who its user is. What it makes holds no files yet:
 * those are made from it by a git that reads no settings.
 */
import { spawn } from 'node:child_process'
import { isPath } from '../contract/address.ts'
import { PyroError } from '../contract/errors.ts'
import type { CallContext } from '../contract/table.ts'

export interface CloneOptions {
  /** The native binary, which ends git with the engine. */
  binary: string
  repo: string
  ref: string | undefined
  /** Not there yet. */
  path: string
}

/** Git that says nothing for so long waits for somebody who does not answer. */
const STALL_MS = 300_000
const MAX_SAID = 8192
const COMMIT = /^[0-9a-f]{7,64}$/i
const NO_BRANCH = /Remote branch .* not found in upstream/

/** @throws tool_missing, repo_unreachable, ref_not_found, timed_out, cancelled. */
export async function cloneRepository(options: CloneOptions, context: CallContext): Promise<void> {
  const { repo, ref, path } = options
  const { address, env } = apart(repo)
  const git = (args: string[], told = false) => run(options.binary, args, env, context, told)
  const local = isPath(repo) || address.startsWith('file:')
  const clone = (more: string[]) =>
    git(
      [
        'clone',
        '--progress',
        '--no-checkout',
        '--template=',
        ...(local ? LOCAL : []),
        ...more,
        '--',
        address,
        path,
      ],
      true,
    )
  const unreachable = (said: string) => {
    const message = `${withoutSecrets(repo)} could not be cloned: ${clean(said, repo)}`
    const hint = 'Try git clone with it in a shell: it has to work there without a question.'
    return new PyroError('repo_unreachable', message, { hint })
  }
  const unknown = () =>
    new PyroError('ref_not_found', `${withoutSecrets(repo)} has no branch, tag or commit ${ref}.`, {
      hint: `git ls-remote shows what there is.`,
    })

  context.progress({ kind: 'step', text: 'cloning the repository' })
  const first = await clone(ref === undefined ? [] : ['--branch', ref.replace(/^refs\/(heads|tags)\//, '')])
  if (first.code === 0) return
  if (ref === undefined || !NO_BRANCH.test(first.said)) throw unreachable(first.said)
  if (!COMMIT.test(ref) && !ref.startsWith('refs/')) throw unknown()

  const whole = await clone([])
  if (whole.code !== 0) throw unreachable(whole.said)
  const here = ['-C', path, '-c', 'core.hooksPath=/dev/null', '-c', 'core.fsmonitor=false']
  const detach = (what: string) => git([...here, 'update-ref', '--no-deref', 'HEAD', what])
  const known =
    COMMIT.test(ref) && (await git([...here, 'rev-parse', '-q', '--verify', `${ref}^{commit}`])).code === 0
  if (known && (await detach(`${ref}^{commit}`)).code === 0) return
  // A server may give what none of its branches leads to.
  const uploader = local ? LOCAL.filter((one) => one.startsWith('--upload-pack')) : []
  if (COMMIT.test(ref) && ref.length < 40) throw unknown()
  if ((await git([...here, 'fetch', '--progress', ...uploader, 'origin', ref], true)).code !== 0)
    throw unknown()
  if ((await detach('FETCH_HEAD^{commit}')).code !== 0) throw unknown()
}

/** A repository of this machine may be anybody's: what serves it fetches nothing on its behalf and starts nothing. */
const LOCAL = [
  '--no-local',
  '--upload-pack=git -c protocol.allow=never -c core.fsmonitor=false -c core.hooksPath=/dev/null upload-pack',
]

/** An address as it may be shown and kept. */
export function withoutSecrets(repo: string): string {
  const url = repo.includes('://') ? URL.parse(repo) : null
  if (url === null) return repo
  url.password = ''
  if (!url.protocol.includes('ssh')) url.username = ''
  url.search = ''
  url.hash = ''
  return url.href
}

/**
 * The address that git is given, and what proves who asks in its environment: arguments show in lists of processes. Git asks
 * for it as it asks any helper.
 */
function apart(repo: string): { address: string; env: Record<string, string> } {
  const url = /^https?:/i.test(repo) ? URL.parse(repo) : null
  if (url === null || (url.username === '' && url.password === '')) return { address: repo, env: {} }
  const [user, password] = [url.username, url.password].map(decodeURIComponent)
  url.username = ''
  url.password = ''
  const helper = `!f() { test "$1" = get && printf 'username=%s\\npassword=%s\\n' "$PYRO_GIT_USER" "$PYRO_GIT_PASSWORD"; }; f`
  return {
    address: url.href,
    env: {
      PYRO_GIT_USER: user!,
      PYRO_GIT_PASSWORD: password!,
      GIT_CONFIG_COUNT: '2',
      // The first empties the list: no helper of the user's is asked to store what was given for this once.
      GIT_CONFIG_KEY_0: 'credential.helper',
      GIT_CONFIG_VALUE_0: '',
      GIT_CONFIG_KEY_1: 'credential.helper',
      GIT_CONFIG_VALUE_1: helper,
    },
  }
}

function clean(said: string, repo: string): string {
  const { env } = apart(repo)
  let text = said.replace(/\/\/[^/@\s]+@/g, '//').replace(/^(Cloning into|warning: ).*$/gm, '')
  for (const secret of [env['PYRO_GIT_PASSWORD'], env['PYRO_GIT_USER']])
    if (secret) text = text.replaceAll(secret, '…')
  return text.trim() || 'git does not say why'
}

function run(
  binary: string,
  args: string[],
  more: Record<string, string>,
  { signal, progress }: CallContext,
  told: boolean,
): Promise<{ code: number; said: string }> {
  signal.throwIfAborted()
  const env: NodeJS.ProcessEnv = {
    ...Object.fromEntries(
      Object.entries(process.env).filter(([name]) => !name.startsWith('GIT_') || KEPT.has(name)),
    ),
    LC_ALL: 'C',
    GIT_TERMINAL_PROMPT: '0',
    SSH_ASKPASS_REQUIRE: 'never',
    GIT_ALLOW_PROTOCOL: 'http:https:ssh:git:file',
    ...more,
  }
  return new Promise((resolve, reject) => {
    // A group of its own: what it starts ends with it.
    const child = spawn(binary, ['leash', 'git', ...args], {
      env,
      cwd: '/',
      detached: true,
      stdio: ['ignore', 'ignore', 'pipe'],
    })
    let said = ''
    let failure: PyroError | undefined
    const end = (why: PyroError) => {
      failure ??= why
      try {
        process.kill(-child.pid!, 'SIGKILL')
      } catch {
        // It has ended meanwhile.
      }
    }
    const stalled = () => end(new PyroError('timed_out', `git said nothing for ${STALL_MS / 1000} s.`))
    let timer = setTimeout(stalled, STALL_MS)
    const cancel = () => end(new PyroError('cancelled', 'The call was cancelled.'))
    signal.addEventListener('abort', cancel, { once: true })
    child.stderr.on('data', (part: Buffer) => {
      clearTimeout(timer)
      timer = setTimeout(stalled, STALL_MS)
      const lines = part.toString('utf8')
      const counted = told ? [...lines.matchAll(COUNT)].at(-1) : undefined
      if (counted)
        progress({
          kind: 'count',
          text: counted[1]!.toLowerCase(),
          done: Number(counted[2]),
          total: Number(counted[3]),
        })
      said = `${said}${lines.replace(PROGRESS, '')}`.slice(-MAX_SAID)
    })
    child.once('error', (error) => {
      failure ??= new PyroError('native_missing', `The native binary could not be run: ${error.message}.`)
      settle(1)
    })
    // Not its close: what ssh leaves behind for later calls may keep the pipe.
    child.once('exit', (code) => {
      const over = setTimeout(settle, 500, code ?? 1)
      child.once('close', () => {
        clearTimeout(over)
        settle(code ?? 1)
      })
    })
    function settle(code: number) {
      clearTimeout(timer)
      signal.removeEventListener('abort', cancel)
      child.stderr.destroy()
      if (failure === undefined && code === NOT_INSTALLED)
        failure = new PyroError('tool_missing', 'git is not installed.', { hint: 'sudo apt-get install git' })
      if (failure !== undefined) reject(failure)
      else resolve({ code, said })
    }
  })
}

/** How the leash says that there is no such program. */
const NOT_INSTALLED = 127
/** Of git's own variables, those that say who asks and how the network is reached. */
const KEPT = new Set([
  'GIT_ASKPASS',
  'GIT_SSH',
  'GIT_SSH_COMMAND',
  'GIT_SSH_VARIANT',
  'GIT_SSL_CAINFO',
  'GIT_SSL_CAPATH',
  'GIT_SSL_CERT',
  'GIT_SSL_KEY',
  'GIT_SSL_NO_VERIFY',
  'GIT_HTTP_PROXY_AUTHMETHOD',
  'GIT_PROXY_SSL_CAINFO',
  'GIT_CONFIG_GLOBAL',
  'GIT_CONFIG_SYSTEM',
  'GIT_CONFIG_NOSYSTEM',
])
const COUNT = /(?:remote: )?([A-Z][A-Za-z ]+):\s+\d+% \((\d+)\/(\d+)\)/g
const PROGRESS = /[^\r\n]*\d+% \(\d+\/\d+\)[^\r\n]*[\r\n]+/g
