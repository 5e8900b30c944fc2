/** `pyro completion`: a script for a shell, from the contract's table. */
import type { OperationDescription } from '../../../contract/describe.ts'
import { VERSION } from '../../sdk/version.ts'
import { print } from '../print.ts'
import { commandWords, type Shell } from '../words.ts'
import { bashScript } from './bash.ts'
import { fishScript } from './fish.ts'
import { completionTable, type Entry } from './table.ts'
import { zshScript } from './zsh.ts'

const SCRIPTS: Record<Shell, (entries: Entry[], heading: string) => string> = {
  bash: bashScript,
  zsh: zshScript,
  fish: fishScript,
}

export function completionScript(shell: Shell, operations: OperationDescription[]): string {
  const heading = `Completion of pyro ${VERSION} for ${shell}, written by \`pyro completion ${shell}\`.`
  return SCRIPTS[shell](completionTable(commandWords(operations)), heading)
}

/** `shell` was checked by the command line. */
export function printCompletion(shell: string | undefined, operations: OperationDescription[]): void {
  print(completionScript(shell as Shell, operations).trimEnd())
}
