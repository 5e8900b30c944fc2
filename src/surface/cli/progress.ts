/** What long work says on the way: one line that is rewritten, for a person at a terminal only. */
import { isatty } from 'node:tty'
import type { OperationDescription } from '../../contract/describe.ts'
import type { Progress } from '../../contract/table.ts'
import { progressText } from '../progress.ts'
import { note, writeNow } from './print.ts'

export interface ProgressLine {
  show: (progress: Progress) => void
  clear: () => void
}
interface ProgressOptions {
  operation: OperationDescription
  /** Nothing but the result is wanted. */
  quiet: boolean
}

export function progressLine({ operation, quiet }: ProgressOptions): ProgressLine | undefined {
  const isDemo = operation.name === 'demo'
  const terminal = !operation.effects.readOnly && isatty(2)
  if (quiet || (!terminal && !isDemo)) return undefined
  let shown = false
  const clear = () => {
    if (shown) writeNow(2, '\r\x1b[K')
    shown = false
  }
  return {
    clear,
    show(progress) {
      if (progress.kind === 'output') {
        clear()
        return writeNow(progress.stream === 'stdout' ? 1 : 2, progress.text)
      }
      if (isDemo && progress.kind === 'step') {
        clear()
        return note(`[demo] ${progress.text}`)
      }
      if (!terminal) return
      writeNow(2, `\r\x1b[K${progressText(progress)}`)
      shown = true
    },
  }
}
