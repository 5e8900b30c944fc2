/** Writing to the two outputs, without loading Node's streams for them. */
import { write, writeSync } from 'node:fs'
import type { PyroError } from '../../contract/errors.ts'

/** Whoever read what we write has gone: no failure of ours, and nobody to tell. */
export class ReaderGone extends Error {}

const STDOUT = 1
const STDERR = 2

export const print = (text: string): void => writeNow(STDOUT, `${text}\n`)
export const note = (text: string): void => writeNow(STDERR, `${text}\n`)
export const printJson = (value: unknown): void => print(JSON.stringify(value, null, 2))

export function showError(error: PyroError, json: boolean): void {
  try {
    if (json) return printJson({ error: error.toBody() })
    note(`error: ${error.message}`)
    if (error.hint !== undefined) note(`hint: ${error.hint}`)
  } catch {
    // There is nobody to tell.
  }
}

export function writeNow(fd: 1 | 2, text: string): void {
  const bytes = Buffer.from(text)
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(fd, bytes, at)
    } catch (error) {
      if (!isFull(error)) throw readerGone(error)
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5)
    }
  }
}

/** Waits for a slow reader without keeping the rest of the program waiting. */
export async function writeLater(fd: 1 | 2, bytes: Uint8Array): Promise<void> {
  for (let at = 0; at < bytes.length; ) {
    const [error, count] = await new Promise<[NodeJS.ErrnoException | null, number]>((resolve) => {
      write(fd, bytes, at, (failure, written) => resolve([failure, written]))
    })
    if (error === null) at += count
    else if (isFull(error)) await new Promise((resolve) => setTimeout(resolve, 5))
    else throw readerGone(error)
  }
}

const isFull = (error: unknown) => (error as NodeJS.ErrnoException).code === 'EAGAIN'

function readerGone(error: unknown): unknown {
  return (error as NodeJS.ErrnoException).code === 'EPIPE' ? new ReaderGone() : error
}
