/** Words of a command line as values of the contract's fields. */
import { InvalidArgumentError } from 'commander'
import type { FieldDescription } from '../../contract/describe.ts'
import { PyroError } from '../../contract/errors.ts'

/** For a flag: repeatable ones gather. @throws InvalidArgumentError */
export function fieldParser({ kind }: FieldDescription): (word: string, before: unknown) => unknown {
  if (kind === 'map')
    return (word, before) => ({ ...(before as Record<string, string> | undefined), ...pair(word) })
  if (kind === 'list') return (word, before) => [...((before as string[] | undefined) ?? []), word]
  if (kind === 'integer' || kind === 'number') return (word) => number(word, kind)
  return (word) => word
}

/** For an argument. @throws invalid_input */
export function fieldValue(field: FieldDescription, word: string): unknown {
  try {
    return fieldParser(field)(word, undefined)
  } catch (error) {
    throw new PyroError('invalid_input', `${field.field}: ${(error as Error).message}`)
  }
}

function pair(word: string): Record<string, string> {
  const at = word.indexOf('=')
  if (at < 1) throw new InvalidArgumentError('It must be KEY=VALUE.')
  return { [word.slice(0, at)]: word.slice(at + 1) }
}

function number(word: string, kind: 'integer' | 'number'): number {
  const form = kind === 'integer' ? /^-?\d+$/ : /^-?(\d+\.?\d*|\.\d+)$/
  if (!form.test(word))
    throw new InvalidArgumentError(kind === 'integer' ? 'It must be a whole number.' : 'It must be a number.')
  return Number(word)
}
