// Reads what go test and vitest wrote, says how long each room took and what failed in Go, and closes with one line that
// counts both.   summary.ts FOLDER FAILED_CHECKS
import { existsSync, readFileSync } from 'node:fs'
import { join, relative } from 'node:path'

const [folder, checks] = process.argv.slice(2) as [string, string]
const read = (name: string) =>
  existsSync(join(folder, name)) ? readFileSync(join(folder, name), 'utf8') : ''
let passed = 0
let failed = Number(checks)
const rooms = new Map<string, number>()
const took = (room: string, seconds: number) => rooms.set(room, (rooms.get(room) ?? 0) + seconds)

interface GoEvent {
  Action: string
  Package?: string
  Test?: string
  Elapsed?: number
  Output?: string
}

function countGo(): void {
  const output = new Map<string, string>()
  let here = 0
  for (const line of read('go.json').split('\n')) {
    if (!line.startsWith('{')) continue
    const event = JSON.parse(line) as GoEvent
    const key = `${event.Package} ${event.Test ?? ''}`
    if (event.Action.endsWith('output')) output.set(key, (output.get(key) ?? '') + event.Output)
    if (event.Action === 'pass' && event.Test) passed++
    if (event.Action === 'fail' && event.Test) here++
    if (event.Action === 'fail' || event.Action === 'build-fail')
      console.log(`FAIL  ${key}\n${output.get(key) ?? ''}`)
    if (!event.Test && event.Elapsed) took('native', event.Elapsed)
  }
  if (existsSync(join(folder, 'go.failed'))) {
    if (here === 0) console.log(`FAIL  go test\n${read('go.err')}`)
    here = Math.max(here, 1)
  }
  failed += here
}

interface VitestReport {
  numPassedTests: number
  numFailedTests: number
  numFailedTestSuites: number
  testResults: {
    name: string
    startTime: number
    endTime: number
    status: string
    assertionResults: { status: string }[]
  }[]
}

function countVitest(): void {
  const text = read('vitest.json')
  if (text === '') {
    // No report: it never came to an end.
    failed++
    return
  }
  const report = JSON.parse(text) as VitestReport
  passed += report.numPassedTests
  // A file that fails without a failed test: it did not load, or what prepares its tests failed.
  const unloaded = report.testResults.filter(
    (file) => file.status === 'failed' && !file.assertionResults.some(({ status }) => status === 'failed'),
  )
  const here = report.numFailedTests + unloaded.length
  failed += existsSync(join(folder, 'vitest.failed')) ? Math.max(here, 1) : here
  for (const file of report.testResults) {
    const [, room = ''] = relative(process.cwd(), file.name).split('/')
    took(room, Math.max(0, file.endTime - file.startTime) / 1000)
  }
}

countGo()
countVitest()
const slowest = [...rooms].sort((a, b) => b[1] - a[1])
if (slowest.length > 0)
  console.log(`seconds: ${slowest.map(([room, s]) => `${room} ${s.toFixed(1)}`).join(', ')}`)
console.log(`${passed} passed, ${failed} failed`)
process.exitCode = failed > 0 || passed === 0 ? 1 : 0
