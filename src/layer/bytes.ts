/** A stream of bytes that nobody here looks into becomes a file. */
import { createHash, randomBytes } from 'node:crypto'
import { createWriteStream, linkSync, openSync, rmSync } from 'node:fs'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { PyroError } from '../contract/errors.ts'

const MAX_BYTES = 16 * 1024 ** 4

/**
 * Writes the file whole or not at all, and never over another. The answer is its digest, "sha256:" and hex digits.
 * @throws the stream's error; layer_too_large beyond 16 TiB.
 */
export async function saveBytes(body: Readable, dest: string, signal?: AbortSignal): Promise<string> {
  const temp = `${dest}.${randomBytes(8).toString('hex')}.tmp`
  const digest = createHash('sha256')
  let size = 0
  async function* counted(parts: AsyncIterable<Buffer>) {
    for await (const part of parts) {
      size += part.length
      if (size > MAX_BYTES)
        throw new PyroError('layer_too_large', `The archive is longer than ${MAX_BYTES} bytes.`)
      digest.update(part)
      yield part
    }
  }
  try {
    // Opened here: a stream that opens the file itself would make it after one that fails at once was cleaned up.
    const fd = openSync(temp, 'wx', 0o600)
    await pipeline(body, counted, createWriteStream(temp, { fd }), { signal })
    linkSync(temp, dest)
  } finally {
    body.destroy()
    rmSync(temp, { force: true })
  }
  return `sha256:${digest.digest('hex')}`
}
