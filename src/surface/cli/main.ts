/** The command line. Loads the descriptions of the operations and the client; each special command is a file of its own. */
import { ERRORS, toPyroError } from '../../contract/errors.ts'
import { operations } from './descriptor.ts'
import { perform } from './perform.ts'
import { ReaderGone, showError } from './print.ts'
import { program } from './program.ts'

async function main(argv: string[]): Promise<number> {
  const line = program({ argv, operations: await operations(), perform })
  return await line.run()
}

const argv = process.argv.slice(2)
const end = argv.indexOf('--')
const json = (end < 0 ? argv : argv.slice(0, end)).includes('--json')

// Ends at once, since all writing is done: connections that are kept open would hold the process for nothing.
main(argv)
  .catch((thrown) => {
    // As other tools do when what they write into closes.
    if (thrown instanceof ReaderGone) return 141
    const error = toPyroError(thrown)
    showError(error, json)
    return ERRORS[error.code].exit
  })
  .then((code) => process.exit(code))
