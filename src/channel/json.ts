/**
 * JSON of a guest, which is looked at before it is parsed. A few megabytes that are nothing but brackets or names take a
 * gigabyte and half a minute of the one process that serves every sandbox; what an agent says is never that dense.
 */

const MAX_DEPTH = 16
/** Fields of one object; none of the protocol has half as many. */
const MAX_FIELDS = 64
/** Of text for one value and for one object or array, in bytes, beyond what is small anyway. */
const BYTES_PER_VALUE = 8
const BYTES_PER_CONTAINER = 32
const SMALL = 64

const [QUOTE, BACKSLASH, COMMA] = [0x22, 0x5c, 0x2c]
const [ARRAY, ARRAY_END, OBJECT, OBJECT_END] = [0x5b, 0x5d, 0x7b, 0x7d]

/** @throws SyntaxError where it is not JSON, or none that an agent would say */
export function parseSparse(text: Buffer): unknown {
  if (isDense(text)) throw new SyntaxError('the JSON is too dense')
  return JSON.parse(text.toString())
}

function isDense(text: Buffer): boolean {
  const mostValues = SMALL + text.length / BYTES_PER_VALUE
  const mostContainers = SMALL + text.length / BYTES_PER_CONTAINER
  /** Of the open containers: how many fields an object has so far, or -1 for an array. */
  const open: number[] = []
  let values = 0
  let containers = 0
  for (let at = 0; at < text.length; at++) {
    switch (text[at]) {
      case QUOTE:
        at = endOfString(text, at)
        break
      case ARRAY:
      case OBJECT:
        open.push(text[at] === ARRAY ? -1 : 1)
        if (++containers > mostContainers || open.length > MAX_DEPTH) return true
        break
      case ARRAY_END:
      case OBJECT_END:
        open.pop()
        break
      case COMMA: {
        const last = open.length - 1
        if (++values > mostValues) return true
        if (last >= 0 && open[last]! > 0 && ++open[last]! > MAX_FIELDS) return true
      }
    }
  }
  return false
}

/** Where the quote stands that ends the string which begins here; the end of the text where none does. */
function endOfString(text: Buffer, begin: number): number {
  for (let at = begin + 1; ; at++) {
    at = text.indexOf(QUOTE, at)
    if (at === -1) return text.length
    let escapes = 0
    while (text[at - 1 - escapes] === BACKSLASH) escapes++
    if (escapes % 2 === 0) return at
  }
}
