/** One scenario in a process of its own: `child.ts SOCKET LIMITS NAME [ARGUMENT]` prints its result as a line of JSON. */
import * as scenarios from './scenarios.ts'

const [socket, limits, name, argument] = process.argv.slice(2) as [string, string, string, string]
const run = (
  scenarios as unknown as { [name: string]: (b: scenarios.Bench, argument: number) => Promise<unknown> }
)[name]!
const bench = await scenarios.bench(socket, JSON.parse(limits))
console.log(JSON.stringify(await run(bench, Number(argument))))
// The victim stays until it is killed.
if (name !== 'victim') process.exit(0)
