// Fetches Go's toolchain module from a module proxy and unpacks it, once its content has the pinned hash.
//   fetch-go.ts PROXIES VERSION H1 DEST        (PROXIES as in GOPROXY; H1 as in go.sum)
import { createHash } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { inflateRawSync } from 'node:zlib'

const [proxies, version, expected, dest] = process.argv.slice(2) as [string, string, string, string]
const TIMEOUT_MS = 600_000

async function download(): Promise<Buffer> {
  const failures: string[] = []
  for (const proxy of proxies.split(/[,|]/).filter((part) => part && part !== 'direct' && part !== 'off')) {
    const url = `${proxy.replace(/\/$/, '')}/golang.org/toolchain/@v/${version}.zip`
    try {
      if (url.startsWith('file:')) return readFileSync(fileURLToPath(url))
      const answer = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS) })
      if (answer.ok) return Buffer.from(await answer.arrayBuffer())
      failures.push(`${answer.status} from ${new URL(url).host}`)
    } catch (error) {
      failures.push(String((error as Error).cause ?? error))
    }
  }
  throw new Error(failures.join('; ') || 'GOPROXY names no proxy')
}

interface Entry {
  name: string
  data: Buffer
}

/** The files of a zip by its central directory. (Module zips are plain: no zip64, no encryption.) */
function entries(zip: Buffer): Entry[] {
  const end = zip.lastIndexOf(Buffer.from('PK\x05\x06', 'latin1'))
  if (end < 0) throw new Error('not a zip file')
  const found: Entry[] = []
  let at = zip.readUInt32LE(end + 16)
  for (let left = zip.readUInt16LE(end + 10); left > 0; left--) {
    const method = zip.readUInt16LE(at + 10)
    const packed = zip.readUInt32LE(at + 20)
    const [nameLength, extra, comment] = [at + 28, at + 30, at + 32].map((o) => zip.readUInt16LE(o))
    const local = zip.readUInt32LE(at + 42)
    const name = zip.toString('utf8', at + 46, at + 46 + nameLength!)
    const start = local + 30 + zip.readUInt16LE(local + 26) + zip.readUInt16LE(local + 28)
    const body = zip.subarray(start, start + packed)
    if (!name.endsWith('/')) found.push({ name, data: method === 0 ? body : inflateRawSync(body) })
    at += 46 + nameLength! + extra! + comment!
  }
  return found
}

/** The "h1:" hash of golang.org/x/mod/sumdb/dirhash. */
function hash(files: Entry[]): string {
  const sum = (data: Buffer | string) => createHash('sha256').update(data)
  const sorted = [...files].sort((a, b) => (a.name < b.name ? -1 : 1))
  return `h1:${sum(sorted.map(({ name, data }) => `${sum(data).digest('hex')}  ${name}\n`).join('')).digest('base64')}`
}

const files = entries(await download())
const actual = hash(files)
if (actual !== expected)
  throw new Error(`golang.org/toolchain@${version} has hash ${actual}, not ${expected}`)

const temporary = `${dest}.tmp-${process.pid}`
const prefix = `golang.org/toolchain@${version}/`
const RUNS = /^(bin|pkg\/tool)\/|\.(bash|sh|pl)$/
try {
  for (const { name, data } of files) {
    if (!name.startsWith(prefix) || name.split('/').includes('..')) throw new Error(`unexpected file ${name}`)
    // Module zips cannot carry go.mod files of inner modules; Go's own are stored as _go.mod.
    const path = join(temporary, name.slice(prefix.length).replace(/(^|\/)_go\.mod$/, '$1go.mod'))
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, data)
    if (RUNS.test(name.slice(prefix.length))) chmodSync(path, 0o755)
  }
  if (!existsSync(dest)) renameSync(temporary, dest)
} finally {
  rmSync(temporary, { recursive: true, force: true })
}
