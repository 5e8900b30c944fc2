/**
 * src/channel/{guest,machine,answers,messages,json}.ts: a guest whose HTTP/2 is right and whose words are not. What is
 * believed is judged here by rules of its own, not by the schemas under test.
 */
import { createServer, type ServerHttp2Stream } from 'node:http2'
import { mkdtempSync, rmSync } from 'node:fs'
import { connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { afterAll, beforeAll, expect } from 'vitest'
import { type Guest, guest } from '../../src/channel/guest.ts'
import { guests } from '../../src/channel/guests.ts'
import type { JobSpec } from '../../src/channel/messages.ts'
import type { PyroError } from '../../src/contract/errors.ts'
import { corpus, fuzz, outcome, within } from './support/fuzz.ts'
import { mutate, mutateJson } from './support/mutate.ts'
import type { Random } from './support/random.ts'

const kept = corpus('answers')
const folder = mkdtempSync(join(tmpdir(), 'fa-'))
const path = join(folder, 's')
const ANSWER_MS = 8000

interface Said {
  status: number
  headers: Record<string, string>
  body: Buffer
  cut: boolean
  /** Why the body broke off, in the guest's words. */
  trailer?: string
}
/** What to say next to whom: the first part of every path is the name of a round. */
const next = new Map<string, Said>()
const server = createServer()
const hosts = guests(() => connect(path))

beforeAll(async () => {
  server.on('session', (session) => session.on('error', () => {}))
  server.on('stream', (stream: ServerHttp2Stream, headers) => {
    stream.on('error', () => {})
    const asked = String(headers[':path'])
    const said = [...next].find(([round]) => asked.includes(round))?.[1] ?? common
    stream.resume()
    const { trailer } = said
    const waits = trailer !== undefined && /^[\x20-\x7e]*$/.test(trailer)
    if (waits) stream.on('wantTrailers', () => stream.sendTrailers({ 'pyro-error': trailer }))
    stream.respond({ ...said.headers, ':status': said.status }, { waitForTrailers: waits })
    stream.write(said.body)
    if (said.cut) stream.close(8)
    else stream.end()
  })
  await new Promise<void>((done) => server.listen(path, done))
})
afterAll(async () => {
  hosts.closeAll()
  await new Promise((done) => server.close(done))
  rmSync(folder, { recursive: true, force: true })
})
/** Of a call whose path has no room for a name; such rounds go one by one. */
let common: Said = { status: 200, headers: {}, body: Buffer.alloc(0), cut: false }

const isCount = (value: unknown) => Number.isSafeInteger(value) && (value as number) >= 0
const isNumber = (value: unknown) =>
  typeof value === 'number' && value >= 0 && value <= Number.MAX_SAFE_INTEGER
const STATUS = ['running', 'exited']

function checkStatus(status: Awaited<ReturnType<Guest['wait']>>, id: string | null, inline: number): void {
  if (id !== null) expect(status.id).toBe(id)
  expect(STATUS).toContain(status.state)
  for (const at of [status.stdout, status.stderr]) {
    expect(isCount(at.start) && isCount(at.end) && at.start <= at.end).toBe(true)
    expect(typeof at.eof).toBe('boolean')
  }
  if (status.exit_code !== null) expect(isCount(status.exit_code) && status.exit_code <= 255).toBe(true)
  if (status.signal !== null) expect(status.signal.length).toBeLessThanOrEqual(16)
  for (const value of [status.duration_ms, status.cpu_ms, status.peak_memory_bytes, status.started_at_ms])
    expect(isNumber(value)).toBe(true)
  expect(isCount(status.survivors)).toBe(true)
  if (id !== null)
    for (const text of [status.inline?.stdout, status.inline?.stderr])
      expect(Buffer.from(text ?? '', 'base64').length).toBeLessThanOrEqual(inline)
}

function checkJobs(value: Awaited<ReturnType<Guest['jobs']>>): void {
  for (const status of value) checkStatus(status, null, 0)
  expect(new Set(value.map(({ id }) => id)).size).toBe(value.length)
}

function checkError({ code, message }: PyroError): void {
  expect(code).toMatch(/^[a-z_]+$/)
  // Codes that say something about the engine, or about who asks, are not for a guest to give.
  expect(code).not.toMatch(
    /^(engine_|internal|cancelled|timed_out|name_taken|output_|workspace_|native_|home_)/,
  )
  expect(message).not.toMatch(/[\x00-\x1f\x7f-\x9f]/)
  expect(message.length).toBeLessThan(5000)
}

interface Call {
  /** Kept inputs that are honest answers to it. */
  honest: string
  ask: (to: Guest, job: string) => Promise<unknown>
  check: (value: never, job: string) => void | Promise<void>
  headers?: Record<string, string>
  /** Its path names no job. */
  nameless?: boolean
}
const INLINE = 64
const SPEC = {
  argv: ['x'],
  cwd: '/',
  env: {},
  user: 'root',
  timeout_ms: 0,
  stdin: 'none' as const,
  spool_bytes: 65_536,
  attach: false,
} satisfies Omit<JobSpec, 'id'>
const none = () => {}
const CALLS: Record<string, Call> = {
  hello: { honest: 'hello', nameless: true, ask: (to) => to.hello(), check: none },
  start: {
    honest: 'status-inline',
    nameless: true,
    ask: (to, id) => to.start({ id, ...SPEC }, 0, INLINE),
    check: (value, job) => checkStatus(value, job, INLINE),
  },
  jobs: {
    honest: 'jobs',
    nameless: true,
    ask: (to) => to.jobs(),
    check: checkJobs,
  },
  wait: {
    honest: 'status',
    ask: (to, id) => to.wait(id, 0, { stdout: 1, stderr: 2 }, true),
    check: (value, job) => checkStatus(value, job, 0),
  },
  signal: {
    honest: 'status',
    ask: (to, id) => to.signal(id, 'TERM'),
    check: (value, job) => checkStatus(value, job, 0),
  },
  kill: {
    honest: 'status',
    ask: (to, id) => to.kill(id, 0),
    check: (value, job) => checkStatus(value, job, 0),
  },
  output: {
    honest: 'output',
    headers: { 'pyro-cursor': '5', 'pyro-end': '5000', 'pyro-eof': '0' },
    ask: (to, id) => to.output(id, 'stdout', 5, 4096),
    check: ({ data, from, end, eof }: Awaited<ReturnType<Guest['output']>>) => {
      expect(isCount(from) && isCount(end) && from >= 5 && from + data.length <= end).toBe(true)
      expect(data.length).toBeLessThanOrEqual(4096)
      expect(typeof eof).toBe('boolean')
    },
  },
  write: {
    honest: 'written',
    ask: (to, id) => to.write(id, Buffer.from('four'), false),
    check: (value: number) => expect(isCount(value) && value <= 4).toBe(true),
  },
  forget: { honest: 'empty-object', ask: (to, id) => to.forget(id), check: none },
  changes: {
    honest: 'changes',
    nameless: true,
    ask: (to) => to.changes(3),
    check: (value: Awaited<ReturnType<Guest['changes']>>) => {
      expect(isCount(value.added) && isCount(value.modified) && isCount(value.deleted)).toBe(true)
      expect(value.entries.length).toBeLessThanOrEqual(3)
      for (const entry of value.entries) {
        expect(entry.path).not.toMatch(/\0|^\/|(^|\/)\.{0,2}(\/|$)/)
        expect(entry.path.length).toBeLessThanOrEqual(4096)
        expect(isNumber(entry.size) && isNumber(entry.changed_at_ms)).toBe(true)
      }
    },
  },
  identify: {
    honest: 'empty-object',
    nameless: true,
    ask: (to) => to.identify({ hostname: 'h', machine_id: '0'.repeat(32), now_ms: 1, entropy: '' }),
    check: none,
  },
  mount: { honest: 'empty-object', nameless: true, ask: (to) => to.mountWorkspace(true), check: none },
  stop: { honest: 'jobs', nameless: true, ask: (to) => to.stop(0), check: checkJobs },
  tree: { honest: 'tree', ask: (to, id) => to.tree(id), check: readAll },
  layer: { honest: 'tree', ask: (to, id) => to.layer(id), check: readAll },
  putLayer: {
    honest: 'empty-object',
    ask: (to, id) => to.putLayer(id, Readable.from([Buffer.alloc(100_000)])),
    check: none,
  },
}

async function readAll(body: Readable): Promise<void> {
  const { error } = await outcome(async () => {
    for await (const _ of body);
  })
  if (error) checkError(error)
}

/** Another answer than the honest one: other words, other headers, another status, or a part of it. */
function lie(chance: Random, { honest, headers = {} }: Call, job: string): Said {
  const input = Buffer.from(kept.named(honest).toString('latin1').replaceAll('job-1', job), 'latin1')
  const said: Said = { status: 200, headers: { ...headers }, body: input, cut: false }
  const changes = 1 + chance.below(2)
  for (let change = 0; change < changes; change++)
    switch (chance.below(9)) {
      case 0:
        said.body = mutate(chance, input, kept.inputs, ['"id"', '__proto__', '1e999', '-0', '[[', '\\u0000'])
        break
      case 1:
        said.body = chance.pick(kept.inputs)
        break
      case 2:
        said.status = chance.pick([200, 201, 204, 206, 304, 400, 404, 413, 429, 500, 503, 599])
        if (chance.once(2)) said.body = kept.named('refusal')
        break
      case 3: {
        said.status = chance.pick([400, 404, 409, 500])
        said.body = Buffer.from(
          JSON.stringify(mutateJson(chance, JSON.parse(kept.named('refusal').toString()))),
        )
        break
      }
      case 4:
        for (const name of ['pyro-cursor', 'pyro-end', 'pyro-eof'])
          if (chance.once(2))
            said.headers[name] = chance.pick([
              '',
              '0',
              '4',
              '6',
              '-1',
              '1e3',
              '0x10',
              ' 7',
              '5, 5',
              'NaN',
              '9007199254740993',
              '9'.repeat(30),
            ])
        break
      case 5:
        if (chance.once(2)) said.cut = true
        else {
          const refusal = kept.named(
            chance.pick(['refusal', 'refusal-of-the-engine', 'refusal-proto', 'text', 'nothing']),
          )
          said.trailer = chance
            .pick([refusal, mutate(chance, refusal, kept.inputs)])
            .toString('latin1')
            .slice(0, 8000)
        }
        break
      case 6:
        said.body = dense(chance)
        break
      default:
        try {
          said.body = Buffer.from(JSON.stringify(mutateJson(chance, JSON.parse(input.toString()))))
        } catch {
          said.body = mutate(chance, input, kept.inputs)
        }
    }
  return said
}

/** Much to parse, and nothing said. */
function dense(chance: Random): Buffer {
  const times = chance.pick([100, 5000, 200_000])
  const many = (one: string) => `${`${one},`.repeat(times)}${one}`
  return Buffer.from(
    chance.pick([
      () => '['.repeat(times),
      () => `${'['.repeat(times)}${']'.repeat(times)}`,
      () => `${'{"a":'.repeat(times)}1${'}'.repeat(times)}`,
      () => `[${many('[]')}]`,
      () => `{"jobs":[${many('{}')}]}`,
      () => `{"jobs":[${many('0')}]}`,
      () => `{"entries":[${many('{"path":"........................"}')}]}`,
      () => `{${Array.from({ length: times }, (_, index) => `"${index}":1`).join()}}`,
      () => `"${'\\\\'.repeat(times)}`,
      () => `{"code":"${'\\"'.repeat(times)}","message":"x"}`,
    ])(),
  )
}

async function one(chance: Random, call: Call, job: string, said: Said): Promise<void> {
  if (call.nameless) common = said
  else next.set(job, said)
  const began = process.cpuUsage()
  const { value, error } = await within(
    outcome(() => call.ask(hosts.of('hostile'), job)),
    ANSWER_MS,
    'a call',
  )
  if (error) checkError(error)
  else await call.check(value as never, job)
  next.delete(job)
  const used = process.cpuUsage(began)
  expect(used.user + used.system, 'microseconds of processor for one answer').toBeLessThan(2_000_000)
  if (chance.once(100)) hosts.drop('hostile')
}

const names = Object.keys(CALLS)
fuzz('answers: the truth is taken', { rounds: names.length }, async (chance, round) => {
  const call = CALLS[names[round % names.length]!]!
  const body = kept.named(call.honest)
  common = { status: 200, headers: call.headers ?? {}, body, cut: false }
  const value = await call.ask(hosts.of('honest'), 'job-1')
  await call.check(value as never, 'job-1')
  if (chance.once(2)) hosts.drop('honest')
})

fuzz(
  'answers: kept inputs as an answer to everything',
  { rounds: kept.inputs.length * names.length },
  async (chance, round) => {
    const body = kept.inputs[round % kept.inputs.length]!
    const call = CALLS[names[Math.floor(round / kept.inputs.length) % names.length]!]!
    await one(chance, call, 'job-1', { status: 200, headers: call.headers ?? {}, body, cut: false })
  },
)

fuzz('answers: lies', { rounds: 1500 }, async (chance, round) => {
  const call = CALLS[chance.pick(names)]!
  const job = `job-${round}`
  await one(chance, call, job, lie(chance, call, chance.once(10) ? 'job-9999999' : job))
})

const cut: ReturnType<typeof guest>[] = []
fuzz(
  'answers: a stream that cannot be had',
  { rounds: 40, after: () => cut.forEach((one) => void one.close()) },
  async (chance) => {
    const dial = chance.pick([
      () => connect(join(folder, 'none')),
      () => Promise.reject(new Error('no stream')),
      () => {
        throw new TypeError('no stream at all')
      },
      () => connect(path).destroy(),
      () => {
        const socket = connect(path)
        setTimeout(() => socket.destroy(), chance.below(3))
        return socket
      },
      () => Readable.from([]) as never,
    ])
    const to = guest(dial)
    cut.push(to)
    const { error } = await within(
      outcome<unknown>(() => (chance.once(2) ? to.hello(300) : to.output('x', 'stdout', 0, 1))),
      ANSWER_MS,
      'a call',
    )
    if (error) expect(error.code).toBe('guest_unreachable')
  },
)
