/** What a check says. */
import type { PyroError } from '../../contract/errors.ts'
import type { OutputOf } from '../../contract/table.ts'

export type Check = OutputOf<'doctor'>['checks'][number]
/** A check's word; its name is the table's. */
export type Finding = Omit<Check, 'name'>

export const fine = (why: string): Finding => ({ status: 'ok', why, command: null })

/** The command that a hint holds, and what it says besides. */
export function commandIn(hint: string | null): { command: string | null; words: string } {
  const [, direct, after, then = ''] =
    /^(?:(sudo .*?)|.*?with: (.+?))(, then .*|, and .*)?$/s.exec(hint ?? '') ?? []
  const command = direct ?? after ?? null
  return {
    command,
    words: command === null ? (hint === null ? '' : ` ${hint}`) : then.replace(/^, /, ' Do this, '),
  }
}

export function failed(error: PyroError): Finding {
  const { command, words } = commandIn(error.hint ?? null)
  return { status: 'missing', why: `${error.code}: ${error.message}${words}`, command }
}

/** Makes a line of sysctl hold now and after a restart. */
export const sysctl = (setting: string): string =>
  `echo ${setting} | sudo tee -a /etc/sysctl.d/60-pyro.conf && sudo sysctl --system`
