/** Standard input for a command. */
import { readSync } from 'node:fs'
import { isUtf8 } from 'node:buffer'
import { PyroError } from '../../contract/errors.ts'
import type { Job } from '../sdk/job.ts'

const MAX_TEXT_BYTES = 1_048_576

/** Passes it on as it comes. Whatever ends the command ends this. */
export function pipeStdin(job: Job): void {
  void (async () => {
    for await (const data of process.stdin) await job.write(data as Buffer)
    await job.write('', { eof: true })
  })().catch(() => {
    // A command that takes no more input is no failure: its own result says what became of it.
    process.stdin.destroy()
  })
}

/** All of it, for a command that is given its input when it starts. @throws invalid_input */
export function inputText(): string {
  const hint = 'Create a workspace, and give it to pyro workspace exec --stdin.'
  const buffer = Buffer.allocUnsafe(MAX_TEXT_BYTES + 1)
  let size = 0
  for (let read = -1; read !== 0 && size < buffer.length; size += Math.max(0, read))
    read = readSome(buffer.subarray(size))
  const text = buffer.subarray(0, size)
  if (size > MAX_TEXT_BYTES)
    throw new PyroError('invalid_input', `Standard input is longer than ${MAX_TEXT_BYTES} bytes.`, { hint })
  if (!isUtf8(text)) throw new PyroError('invalid_input', 'Standard input is not UTF-8 text.', { hint })
  return text.toString()
}

/** Gives 0 at the end, and -1 when there is nothing at this moment. */
function readSome(into: Buffer): number {
  try {
    return readSync(0, into)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EOF') return 0
    if (code !== 'EAGAIN') throw error
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5)
    return -1
  }
}
