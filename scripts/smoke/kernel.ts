/**
 * Debian's full kernel with KVM, for an emulated machine: its package is downloaded by apt and unpacked in the cache, never
 * installed. (The cloud kernel that guests run has no KVM of its own.)
 */
import { execFileSync } from 'node:child_process'
import {
  existsSync,
  globSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs'
import { basename, join } from 'node:path'

export interface Kernel {
  image: string
  /** Files of modules, each after those that it needs. */
  modules: string[]
}

const META = 'linux-image-amd64'
/** Folders of the package that hold the wanted modules and what they need. */
const FOLDERS = [
  'arch/x86/kvm',
  'crypto',
  'lib',
  'fs',
  'net/9p',
  'virt',
  'drivers/virtio',
  'drivers/block',
  'drivers/crypto/ccp',
]
const WANTED = [
  'virtio_pci',
  'virtio_blk',
  '9pnet_virtio',
  '9p',
  'crc32c_generic',
  'ext4',
  'overlay',
  'kvm-amd',
]

export function debianKernel(cache: string): Kernel {
  const name = depended(META)
  const folder = join(cache, 'smoke', name)
  if (!existsSync(folder)) unpack(name, folder)
  const image = globSync(join(folder, 'boot/vmlinuz-*'))[0]
  if (image === undefined) throw new Error(`${name} has no kernel image`)
  const files = new Map(
    globSync(join(folder, 'lib/modules/*/kernel/**/*.ko')).map((file) => [
      plain(basename(file, '.ko')),
      file,
    ]),
  )
  const modules: string[] = []
  const add = (module: string) => {
    const file = files.get(plain(module))
    // What is not there as a file is built in.
    if (file === undefined || modules.includes(file)) return
    needsOf(file).forEach(add)
    modules.push(file)
  }
  WANTED.forEach(add)
  const missing = ['kvm_amd', '9p', 'overlay'].filter((module) => !files.has(module))
  if (missing.length > 0)
    throw new Error(`${name} has no modules ${missing.join(', ')} that could be loaded as they are`)
  return { image, modules }
}

/** The metapackage depends on one kernel. */
function depended(metapackage: string): string {
  const said = execFileSync('apt-cache', ['depends', '--important', metapackage], { encoding: 'utf8' })
  const name = /Depends: (linux-image-\S+)/.exec(said)?.[1]
  if (name === undefined) throw new Error(`apt knows no ${metapackage}: run apt-get update`)
  return name
}

function unpack(name: string, folder: string): void {
  mkdirSync(join(folder, '..'), { recursive: true })
  const work = mkdtempSync(`${folder}.`)
  try {
    console.error(`smoke: downloading ${name}`)
    execFileSync('apt-get', ['download', '-q', name], { cwd: work, stdio: ['ignore', 'ignore', 'inherit'] })
    const deb = readdirSync(work).find((file) => file.endsWith('.deb'))!
    const wanted = ['./boot/vmlinuz-*', ...FOLDERS.map((path) => `./lib/modules/*/kernel/${path}/*`)]
    const script = 'dpkg-deb --fsys-tarfile "$1" | { shift; tar -x --wildcards "$@"; }'
    execFileSync('sh', ['-c', script, 'sh', deb, ...wanted], {
      cwd: work,
      stdio: ['ignore', 'ignore', 'inherit'],
    })
    rmSync(join(work, deb))
    renameSync(work, folder)
  } catch (error) {
    rmSync(work, { recursive: true, force: true })
    throw error
  }
}

/** Modules that a module names in its .modinfo section. */
function needsOf(file: string): string[] {
  const [, names = ''] = /\0depends=([^\0]*)\0/.exec(readFileSync(file, 'latin1')) ?? []
  return names.split(',').filter(Boolean)
}

const plain = (module: string) => module.replaceAll('-', '_')
