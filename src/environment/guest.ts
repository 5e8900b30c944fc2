/**
 * What a machine boots: a kernel out of Debian's package, and an initramfs of the native binary with the modules that it
 * loads. The kernel stays the one that was prepared, whatever apt offers since; the binary is the one in use.
 */
import { createHash } from 'node:crypto'
import {
  createReadStream,
  existsSync,
  mkdirSync,
  readFileSync,
  renameSync,
  statSync,
  writeFileSync,
} from 'node:fs'
import { join } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { z } from 'zod'
import { PyroError } from '../contract/errors.ts'
import type { Hand } from '../hand/protocol.ts'
import { candidate, DEBIAN_ARCH, proxyVariables } from './apt.ts'
import { type BuildOptions, toHand } from './environment.ts'

/**
 * Lists of the guest's init (native/guest/machine/bringup.go), each without what an earlier one has. The first is loaded
 * before the others, which may be loaded at the same time: so nothing that two of them need is missing in it.
 */
const LISTS = [
  { file: 'order', modules: ['virtio_mmio', 'ext4'] },
  { file: 'order.pci', modules: ['virtio_pci'] },
  { file: 'order.disk', modules: ['virtio_blk'] },
  { file: 'order.root', modules: ['erofs', 'overlay'] },
  { file: 'order.port', modules: ['virtio_console'] },
  { file: 'order.vsock', modules: ['vmw_vsock_virtio_transport'] },
  { file: 'order.late', modules: ['virtio_rng'] },
]
/** Changes when the same package or the same binary is laid out differently. */
const LAYOUT = 3

export interface GuestImages {
  /** Cheap: asks neither apt nor the hand. */
  describe: () => GuestDescription
  /**
   * Makes what is missing, once; two at a time make one. With `renew` the kernel is the one that apt offers now.
   * @throws tool_missing, package_missing, build_failed, disk_full
   */
  ensure: (options?: BuildOptions & { renew?: boolean }) => Promise<GuestFiles>
  /** Why they would be made differently now; null where they would not. Without network. */
  outdated: () => Promise<string | null>
  /** Folders of the cache that the next machine would start from. */
  current: () => Promise<string[]>
}
export interface GuestDescription {
  state: 'ready' | 'cold' | 'unavailable'
  reason: string | null
  kernel_version: string | null
}
export interface GuestFiles {
  /** Paths on this machine. */
  kernel: string
  initramfs: string
  /** Names exactly these two files. */
  fingerprint: string
  kernel_version: string
}

const pinned = z.object({
  package: z.string(),
  version: z.string(),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
})
type Pinned = z.infer<typeof pinned>

export interface GuestOptions {
  hand: Hand
  cache: string
  /** The guest's program, which becomes init. */
  binary: string
}

export function guestImages({ hand, cache, binary }: GuestOptions): GuestImages {
  const folder = join(cache, 'guest')
  const pin = join(folder, 'kernel.json')
  const checksum = fileChecksum(binary)
  const kernelPlace = ({ sha256 }: Pinned) => join(folder, `kernel-${digest([LAYOUT, sha256, LISTS])}`)

  function known(): Pinned | null {
    try {
      const read = pinned.parse(JSON.parse(readFileSync(pin, 'utf8')))
      return existsSync(kernelPlace(read)) ? read : null
    } catch {
      // Not there, or not ours to understand: it is written again.
      return null
    }
  }

  async function offeredKernel(): Promise<Pinned> {
    if (DEBIAN_ARCH === null)
      throw new PyroError('not_supported', `No kernel for machines is known on ${process.arch}.`)
    const meta = await candidate(`linux-image-cloud-${DEBIAN_ARCH}`)
    const [, name] = /(?:^|[\s,])(linux-image-\d[^\s,|(]*)/.exec(meta.depends) ?? []
    if (name === undefined)
      throw new PyroError('package_missing', `The package ${meta.name} names no kernel: ${meta.depends}`)
    const { version, sha256 } = await candidate(name)
    return { package: name, version, sha256 }
  }

  async function takeKernel(options: BuildOptions): Promise<Pinned> {
    const chosen = await offeredKernel()
    await hand(
      'guest_kernel',
      { ...chosen, arch: DEBIAN_ARCH!, output: kernelPlace(chosen), lists: LISTS, env: proxyVariables() },
      toHand(options, 'guest kernel'),
    )
    writeFileSync(`${pin}.${process.pid}`, `${JSON.stringify(chosen)}\n`, { mode: 0o600 })
    renameSync(`${pin}.${process.pid}`, pin)
    return chosen
  }

  async function place(kernel: Pinned) {
    const sum = await checksum()
    const fingerprint = digest([LAYOUT, kernel.sha256, LISTS, sum])
    return { sum, fingerprint, dir: join(folder, fingerprint) }
  }

  return {
    describe() {
      const kernel = known()
      if (kernel !== null) return { state: 'ready', reason: null, kernel_version: releaseOf(kernel) }
      const reason = whyNot()
      return { state: reason === null ? 'cold' : 'unavailable', reason, kernel_version: null }
    },
    async outdated() {
      const kernel = known()
      if (kernel === null) return null
      const offered = await offeredKernel()
      if (offered.sha256 !== kernel.sha256)
        return `the archives offer the kernel ${releaseOf(offered)} (${offered.version}), not ${releaseOf(kernel)} (${kernel.version})`
      const { dir } = await place(kernel)
      return existsSync(dir) ? null : 'the initramfs is of another version of Pyro'
    },
    async current() {
      const kernel = known()
      return kernel === null ? [] : [kernelPlace(kernel), (await place(kernel)).dir]
    },
    async ensure(options = {}) {
      mkdirSync(folder, { recursive: true, mode: 0o700 })
      const kernel = (options.renew ? null : known()) ?? (await takeKernel(options))
      const { sum, fingerprint, dir } = await place(kernel)
      if (!existsSync(dir)) {
        options.progress?.({ text: 'making the initramfs' })
        const manifest = { fingerprint, kernel, init_sha256: sum }
        await hand(
          'guest_images',
          {
            kernel: kernelPlace(kernel),
            binary,
            binary_sha256: sum,
            output: dir,
            manifest: `${JSON.stringify(manifest, null, 2)}\n`,
          },
          toHand(options, 'initramfs'),
        )
      }
      return {
        kernel: join(dir, 'vmlinux'),
        initramfs: join(dir, 'initramfs'),
        fingerprint,
        kernel_version: releaseOf(kernel),
      }
    },
  }
}

const releaseOf = (kernel: Pinned) => kernel.package.replace(/^linux-image-/, '')

const digest = (parts: unknown[]) =>
  createHash('sha256').update(JSON.stringify(parts)).digest('hex').slice(0, 16)

/** SHA-256 of a file, read again only when it changed. */
function fileChecksum(path: string): () => Promise<string> {
  let last: { key: string; sum: Promise<string> } | undefined
  return () => {
    const { dev, ino, size, mtimeNs } = statSync(path, { bigint: true })
    const key = [dev, ino, size, mtimeNs].join(' ')
    if (last?.key !== key) {
      const hash = createHash('sha256')
      const sum = pipeline(createReadStream(path), hash).then(() => hash.digest('hex'))
      last = { key, sum }
      sum.catch(() => {
        last = undefined
      })
    }
    return last.sum
  }
}

function whyNot(): string | null {
  if (DEBIAN_ARCH === null) return `no kernel for machines is known on ${process.arch}`
  return existsSync('/usr/bin/apt-get') ? null : 'kernels come from packages of Debian, and apt is not here'
}
