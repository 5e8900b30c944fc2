/** An initramfs: a cpio archive in the "newc" form (Documentation/driver-api/early-userspace/buffer-format.rst). */
export interface Entry {
  name: string
  /** Type and permissions, as in st_mode. */
  mode: number
  data?: Buffer | string
  /** Of a device node. */
  device?: [major: number, minor: number]
}

const DIRECTORY = 0o040755
const FILE = 0o100644
const CHARACTER = 0o020600

export const directory = (name: string): Entry => ({ name, mode: DIRECTORY })
export const file = (name: string, data: Buffer | string, mode = FILE): Entry => ({ name, mode, data })
export const character = (name: string, major: number, minor: number): Entry => ({
  name,
  mode: CHARACTER,
  device: [major, minor],
})

export function initramfs(entries: Entry[]): Buffer {
  const all = [...entries, { name: 'TRAILER!!!', mode: 0 }]
  return Buffer.concat(
    all.flatMap(({ name, mode, data = '', device = [0, 0] }: Entry, index) => {
      const content = Buffer.from(data as string)
      const path = Buffer.from(`${name}\0`)
      // ino, mode, uid, gid, nlink, mtime, size, device of the archive (2), device of the node (2), name's size, no checksum
      const fields = [index + 1, mode, 0, 0, 1, 0, content.length, 0, 0, ...device, path.length, 0]
      const header = Buffer.from(
        `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`,
      )
      return [header, path, padding(header.length + path.length), content, padding(content.length)]
    }),
  )
}

const padding = (length: number) => Buffer.alloc((4 - (length % 4)) % 4)
