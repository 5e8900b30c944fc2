/** How the scripts spell what a value may be: `=a,b` for choices, `-` for anything, else what is asked for. */
import type { Values } from './table.ts'

export function specOf(values: Values): string {
  if (values === null) return '-'
  return 'choices' in values ? `=${values.choices.join(',')}` : values.ask
}

/** In single quotes, as bash and zsh read them. */
export const quoted = (text: string): string => `'${text.replaceAll("'", "'\\''")}'`
