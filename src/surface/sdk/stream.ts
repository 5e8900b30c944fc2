/** One stream of a command as its reader sees it: where it is, what is at hand, and its file on this machine. */
import type { StreamChunk } from '../../contract/fields.ts'
import { type Spool, openSpool } from '../../channel/spool.ts'
import type { StreamName } from './types.ts'

/** Read from the file in blocks of so many bytes, and from it at all when more than so many are waiting. */
const BLOCK_BYTES = 1_048_576
const DIRECT_BYTES = 65_536

export class StreamReader {
  readonly name: StreamName
  /** Offset of the next byte to hand out. */
  cursor = 0
  /** Bytes that were no longer kept when they were asked for. */
  dropped = 0
  /** Whether somebody takes the bytes. */
  reading = false
  #end = 0
  #eof = false
  #held: Uint8Array | undefined
  #spool: Spool | null | undefined
  #block: Buffer | undefined
  #copy: boolean

  constructor(name: StreamName, copy: boolean) {
    this.name = name
    this.#copy = copy
  }

  /** What the engine may forget: all that was taken, and all there is when nobody reads. */
  get acknowledged(): number {
    return this.reading ? this.cursor : Math.max(this.cursor, this.#end)
  }
  get finished(): boolean {
    return this.#eof && this.cursor >= this.#end && this.#held === undefined
  }
  /** Whether bytes come from the file, so that the engine need not send them. */
  get direct(): boolean {
    return this.#spool !== undefined && this.#spool !== null
  }

  /** Bytes the file has room for. */
  get kept(): number {
    return this.#spool?.cap ?? Number.POSITIVE_INFINITY
  }

  /** The next bytes, if there are any at this moment. */
  take(): Uint8Array | undefined {
    const held = this.#held
    if (held !== undefined) {
      this.#held = undefined
      return held
    }
    return this.#spool && this.cursor < this.#look(this.#spool) ? this.#fromFile(this.#spool) : undefined
  }

  /** Takes in what the engine said. Gives whether that was anything new. */
  update(chunk: StreamChunk, asked: number, path: string | null): boolean {
    const news = chunk.end > this.#end || chunk.eof !== this.#eof
    this.#end = Math.max(this.#end, chunk.end)
    this.#eof ||= chunk.eof
    if (!this.reading || this.#held !== undefined || asked !== this.cursor) return news
    if (!this.direct && chunk.cursor > this.cursor) {
      this.#skip(this.cursor + chunk.dropped)
      const data = Buffer.from(chunk.data, chunk.encoding === 'base64' ? 'base64' : 'utf8')
      if (data.length > 0) this.#held = data
      this.cursor = chunk.cursor
    }
    if (this.#spool === undefined && this.#end - this.cursor > DIRECT_BYTES && path !== null) {
      this.#spool = openSpool(`${path}.${this.name === 'stdout' ? 'out' : 'err'}`)
    }
    return news || this.#held !== undefined
  }

  /** Takes in that the stream never held anything. */
  end(): void {
    this.#eof = true
  }

  close(): void {
    this.#spool?.close()
    this.#spool = null
    this.#block = undefined
    this.reading = false
  }

  #look(spool: Spool): number {
    // A block of no bytes reads the header only, where the end moves on before the engine hears of it.
    if (this.cursor >= this.#end) this.#end = Math.max(this.#end, spool.read(this.cursor, EMPTY).end)
    return this.#end
  }

  #fromFile(spool: Spool): Uint8Array | undefined {
    if (!this.#copy) this.#block ??= Buffer.allocUnsafeSlow(BLOCK_BYTES)
    const block = this.#block ?? Buffer.allocUnsafeSlow(Math.min(BLOCK_BYTES, this.#end - this.cursor))
    const read = spool.read(this.cursor, block)
    this.#end = Math.max(this.#end, read.end)
    if (read.eof && !this.#eof) {
      // The end may have been read before it moved for the last time; whoever has seen eof finds it where it stays.
      this.#end = Math.max(this.#end, spool.read(this.cursor, EMPTY).end)
      this.#eof = true
    }
    this.#skip(read.from)
    if (read.bytes === 0) return undefined
    this.cursor = read.from + read.bytes
    return block.subarray(read.at, read.at + read.bytes)
  }

  #skip(to: number): void {
    if (to > this.cursor) this.dropped += to - this.cursor
    this.cursor = Math.max(this.cursor, to)
  }
}

const EMPTY = Buffer.alloc(0)
