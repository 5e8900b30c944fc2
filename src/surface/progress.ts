/** How far long work has come, in a line for people and for models. */
import type { Progress } from '../contract/table.ts'

export function progressText(progress: Exclude<Progress, { kind: 'output' }>): string {
  if (progress.kind === 'step') return progress.text
  const { text, done, total, unit } = progress
  const number = unit === 'bytes' ? bytesText : String
  return `${text} ${number(done)}${total === undefined ? '' : ` of ${number(total)}`}`
}

/** Decimal units, as apt and disks count. */
export function bytesText(bytes: number): string {
  if (bytes < 1e3) return `${bytes} B`
  if (bytes < 1e6) return `${Math.round(bytes / 1e3)} kB`
  return bytes < 1e9 ? `${Math.round(bytes / 1e6)} MB` : `${(bytes / 1e9).toFixed(1)} GB`
}
