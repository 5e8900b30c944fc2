/** The Debians of the catalogue, as data: whatever changes here makes another build. */
import { COMMON_FILES } from './environment.ts'

export interface DebianDefinition {
  name: string
  description: string
  suite: string
  /** Day of the suite's release: what the build itself writes is dated so. */
  released: string
  /** Variant of mmdebstrap. */
  variant: string
  /** Beyond the variant's. */
  packages: string[]
}

const BOOKWORM = { suite: 'bookworm', released: '2023-06-10', variant: 'minbase' }
const BASE = ['procps']
const TOOLS = ['git', 'curl', 'ca-certificates', 'python3', 'ripgrep', 'jq']
const BUILD = ['build-essential', 'pkg-config', 'nodejs', 'npm']

export const DEBIAN_12_BASE: DebianDefinition = {
  ...BOOKWORM,
  name: 'debian:12-base',
  description: 'Debian 12 with its required packages, apt and procps.',
  packages: BASE,
}
export const DEBIAN_12: DebianDefinition = {
  ...BOOKWORM,
  name: 'debian:12',
  description: 'Debian 12 with git, curl, ca-certificates, python3, ripgrep and jq.',
  packages: [...BASE, ...TOOLS],
}
export const DEBIAN_12_BUILD: DebianDefinition = {
  ...BOOKWORM,
  name: 'debian:12-build',
  description: 'debian:12 with build-essential, pkg-config, nodejs and npm.',
  packages: [...BASE, ...TOOLS, ...BUILD],
}
export const DEBIANS = [DEBIAN_12_BASE, DEBIAN_12, DEBIAN_12_BUILD]

export const FILES = {
  ...COMMON_FILES,
  'etc/hostname': 'localhost\n',
  // Empty: each workspace gets one of its own, or none.
  'etc/machine-id': '',
  'etc/timezone': 'Etc/UTC\n',
  'etc/default/locale': 'LANG=C.UTF-8\n',
}
export const COMMANDS = ['chroot "$1" useradd --create-home --uid 1000 --shell /bin/bash pyro']
/** What the build leaves that says when or how it ran. */
export const REMOVE = [
  'etc/apt/apt.conf.d/99mmdebstrap',
  'etc/dpkg/dpkg.cfg.d/99mmdebstrap',
  ...['group', 'gshadow', 'passwd', 'shadow', 'subgid', 'subuid'].map((name) => `etc/${name}-`),
  'var/cache/debconf/config.dat-old',
  'var/cache/debconf/templates.dat-old',
  'var/cache/ldconfig/aux-cache',
  'var/log/apt',
]
/** Changes when an environment of the same definition is laid out differently. */
export const LAYOUT = 2
