/** Tars as nobody packs them: every field of a header (POSIX pax, "ustar interchange format") is the test's to say. */

export interface TarEntry {
  name: string
  /** Type flag: 0 file, 1 hard link, 2 symbolic link, 3 and 4 devices, 5 directory, 6 pipe. */
  type?: '0' | '1' | '2' | '3' | '4' | '5' | '6' | 'x'
  link?: string
  mode?: number
  content?: string | Buffer
  /** What the header says the size is; that of the content unless given. */
  size?: number
  /** Records of a pax header before it. */
  pax?: Record<string, string>
}

/** A whole tar, with its trailer. */
export function tarOf(...entries: TarEntry[]): Buffer {
  return Buffer.concat([...entries.flatMap(parts), Buffer.alloc(1024)])
}

function parts({ pax, ...entry }: TarEntry): Buffer[] {
  const content = Buffer.from(entry.content ?? '')
  const own = [header(entry, content.length), content, Buffer.alloc(-content.length & 511)]
  if (pax === undefined) return own
  const records = Object.entries(pax).map(([key, value]) => record(key, value))
  return [...parts({ name: 'pax', type: 'x', content: records.join('') }), ...own]
}

/** A record says its own length, in bytes. */
function record(key: string, value: string): string {
  const rest = ` ${key}=${value}\n`
  let length = Buffer.byteLength(rest)
  while (length !== Buffer.byteLength(rest) + String(length).length)
    length = Buffer.byteLength(rest) + String(length).length
  return `${length}${rest}`
}

function header({ name, type = '0', link = '', mode = 0o644, size }: TarEntry, length: number): Buffer {
  const block = Buffer.alloc(512)
  const octal = (value: number, at: number, width: number) =>
    block.write(value.toString(8).padStart(width - 1, '0'), at)
  block.write(name, 0, 100)
  octal(mode, 100, 8)
  octal(0, 108, 8)
  octal(0, 116, 8)
  octal(size ?? length, 124, 12)
  octal(1_700_000_000, 136, 12)
  block.write(type, 156)
  block.write(link, 157, 100)
  block.write('ustar\u000000', 257)
  block.fill(' ', 148, 156)
  octal(
    block.reduce((sum, byte) => sum + byte, 0),
    148,
    7,
  )
  return block
}
