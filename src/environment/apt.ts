/** What apt of this machine offers. It is only asked; nothing is installed, and no list is refreshed. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { PyroError } from '../contract/errors.ts'

const run = promisify(execFile)

const KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg'
const REFRESH = 'Refresh the package lists with: sudo apt-get update'

/** Debian's name of this machine's architecture; null where there is none that a machine is built for. */
export const DEBIAN_ARCH = ({ x64: 'amd64', arm64: 'arm64' } as Record<string, string>)[process.arch] ?? null

export interface Package {
  name: string
  version: string
  /** Of the package's file, from the signed index. */
  sha256: string
  depends: string
}

/** What a program of apt says; empty where it knows no such package. @throws tool_missing where apt is not there. */
export async function ask(program: string, args: string[]): Promise<string> {
  try {
    const { stdout } = await run(program, args, {
      env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C.UTF-8' },
      timeout: 60_000,
      maxBuffer: 64 * 1_048_576,
    })
    return stdout
  } catch (error) {
    const { code } = error as { code?: unknown }
    if (code === 'ENOENT')
      throw new PyroError('tool_missing', `${program} is not installed.`, {
        hint: 'Environments and machines are built with apt; this host offers `host` in a container.',
        cause: error,
      })
    // apt-cache says so that it knows no such package.
    if (code === 100) return ''
    throw new PyroError('build_failed', `${program} failed: ${(error as Error).message}`, { cause: error })
  }
}

/** The version of a package that apt would install. @throws package_missing, tool_missing */
export async function candidate(name: string): Promise<Package> {
  const shown = await ask('apt-cache', ['--no-all-versions', 'show', name])
  const paragraph = shown.split('\n\n')[0] ?? ''
  const field = (key: string) => new RegExp(`^${key}: (.*)$`, 'm').exec(paragraph)?.[1] ?? ''
  const found = {
    name: field('Package'),
    version: field('Version'),
    sha256: field('SHA256'),
    depends: field('Depends'),
  }
  if (found.name !== name || found.version === '' || !/^[0-9a-f]{64}$/.test(found.sha256))
    throw new PyroError('package_missing', `apt of this machine knows no package ${name}.`, { hint: REFRESH })
  return found
}

/**
 * Lines of a sources.list for a suite of Debian: from the archives that this machine's apt uses, checked by Debian's own
 * keys. An address with a password in it is not used: the built environment would carry it.
 *
 * @throws package_missing, tool_missing
 */
export async function debianSources(suite: string): Promise<string[]> {
  const format = '$(ORIGIN)\t$(LABEL)\t$(REPO_URI)'
  const listed = await ask('apt-get', ['indextargets', '--format', format, 'Created-By: Packages'])
  const archives = listed
    .split('\n')
    .map((line) => line.split('\t'))
    .filter(([origin, , address = '']) => origin === 'Debian' && usable(address))
  const archive = (label: string) => archives.find(([, found]) => found === label)?.[2]
  const main = archive('Debian')
  if (main === undefined)
    throw new PyroError('package_missing', "This machine's apt uses no archive of Debian.", {
      hint: `${REFRESH}; on another distribution, add an archive of Debian to its sources first.`,
    })
  const line = (address: string, name: string) => `deb [signed-by=${KEYRING}] ${address} ${name} main`
  const security = archive('Debian-Security')
  return [
    line(main, suite),
    line(main, `${suite}-updates`),
    ...(security === undefined ? [] : [line(security, `${suite}-security`)]),
  ]
}

function usable(address: string): boolean {
  const { protocol, username, password } = URL.parse(address) ?? { protocol: '' }
  return ['http:', 'https:'].includes(protocol) && !username && !password && !/[\s"[\]]/.test(address)
}

/** How this machine's apt reaches its archives, as a file of apt.conf. It may hold the password of a proxy. */
export async function transportSettings(): Promise<string> {
  const all = await ask('apt-config', ['dump'])
  return all
    .split('\n')
    .filter((line) => /^Acquire::(https?::|ForceIPv|Retries )/i.test(line) && !line.endsWith(' "";'))
    .join('\n')
}

/** Proxies that this process was told of, for programs that download. */
export function proxyVariables(env: NodeJS.ProcessEnv = process.env): string[] {
  return Object.entries(env).flatMap(([name, value]) =>
    value && /^(https?|ftp|all|no)_proxy$/i.test(name) ? [`${name}=${value}`] : [],
  )
}
