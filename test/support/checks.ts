// Prints what doctor sees of the machine that this process is on: for tests that change that machine for one process.
//   checks.ts HOME CACHE NATIVE
import { hostOf } from '../../src/engine/doctor/host.ts'
import { machineChecks } from '../../src/engine/doctor/machine.ts'

const [home = '/', cache = '/', native = '/'] = process.argv.slice(2)
console.log(JSON.stringify(machineChecks(hostOf(), { home, cache, native })))
