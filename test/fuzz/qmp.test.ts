/** src/backend/qemu/qmp.ts: a QEMU that its guest has taken over. */
import { Duplex } from 'node:stream'
import { expect } from 'vitest'
import { type QmpEvent, speakQmp } from '../../src/backend/qemu/qmp.ts'
import { corpus, fuzz, outcome, within } from './support/fuzz.ts'
import { mutate, mutateJson, pieces } from './support/mutate.ts'
import type { Random } from './support/random.ts'

const kept = corpus('qmp')
const TIMEOUT_MS = 60
const GREETING = {
  QMP: { version: { qemu: { major: 7, minor: 2, micro: 0 }, package: '' }, capabilities: ['oob'] },
}
const ANSWERS: Record<string, unknown> = {
  qmp_capabilities: {},
  'query-status': { status: 'running', running: true },
  'query-kvm': { enabled: true, present: true },
  stop: {},
}
const COMMANDS = ['query-status', 'query-kvm', 'stop'] as const
const EVENT = { event: 'STOP', data: { a: 1 }, timestamp: { seconds: 1, microseconds: 2 } }
const REFUSAL = (id: number) => ({ id, error: { class: 'GenericError', desc: 'no\u001b[2J' } })

const line = (value: unknown) => Buffer.from(`${JSON.stringify(value)}\n`)

/** What is said in the place of an honest message. */
function lie(chance: Random, honest: object, id: number): Buffer {
  switch (chance.below(9)) {
    case 0:
      return line(mutateJson(chance, honest))
    case 1:
      return mutate(chance, line(honest), kept.inputs, ['"id"', '{', '}', '\n', '"QMP":'])
    case 2:
      return mutate(chance, chance.pick(kept.inputs), kept.inputs)
    case 3:
      return Buffer.concat([line(EVENT), line(mutateJson(chance, EVENT)), line(honest)])
    case 4:
      return line({ ...honest, id: chance.pick([0, -1, id + 1, id - 1, 1e9, 0.5]) })
    case 5:
      return Buffer.concat([line(honest), line(honest)])
    case 6:
      return line(mutateJson(chance, REFUSAL(chance.pick([id, 0]))))
    case 7:
      return Buffer.alloc(chance.pick([300_000, 262_144, 100]), chance.pick(['[', ' ', 'x']))
    default:
      return Buffer.from('\n'.repeat(chance.below(1000)))
  }
}

fuzz('qmp: a monitor that lies', { rounds: 800, beside: 16 }, async (chance, round) => {
  const honesty = chance.pick([2, 4, 30])
  const say = (bytes: Buffer) => {
    for (const part of pieces(chance, bytes)) if (!stream.destroyed) stream.push(part)
  }
  const answer = (honest: object, id: number) =>
    say(chance.once(honesty) ? lie(chance, honest, id) : line(honest))
  const stream = new Duplex({
    read() {},
    write(bytes: Buffer, _encoding, done) {
      done()
      const { execute, id } = JSON.parse(bytes.toString()) as { execute: string; id: number }
      if (chance.once(30)) return stream.destroy(chance.once(2) ? new Error('gone') : undefined) as never
      if (chance.once(60)) return
      queueMicrotask(() => answer({ id, return: ANSWERS[execute] }, id))
    },
  })
  const events: QmpEvent[] = []
  const opening = within(
    outcome(() => speakQmp(stream, { timeoutMs: TIMEOUT_MS, onEvent: (event) => events.push(event) })),
    4 * TIMEOUT_MS + 2000,
    'the greeting',
  )
  const input = kept.inputs[round]
  if (input) say(input)
  else answer(GREETING, 0)
  const { value: qmp, error } = await opening
  if (error) {
    expect(['guest_unreachable', 'machine_failed']).toContain(error.code)
    expect(plain(error.message)).toBe(true)
    expect(stream.destroyed).toBe(true)
    return
  }
  for (const part of Object.values(qmp!.version)) expect(Number.isSafeInteger(part)).toBe(true)
  const asked = Array.from({ length: chance.below(6) }, () => chance.pick(COMMANDS))
  const answers = await within(
    Promise.all(asked.map((command) => outcome(() => qmp!.execute(command)))),
    TIMEOUT_MS + 2000,
    'a command',
  )
  for (const [index, { value, error }] of answers.entries()) {
    if (error) {
      expect(['guest_unreachable', 'machine_failed']).toContain(error.code)
      expect(plain(error.message)).toBe(true)
    } else if (asked[index] === 'query-status')
      expect(value).toEqual({ status: expect.any(String), running: expect.any(Boolean) })
    else if (asked[index] === 'query-kvm')
      expect(value).toEqual({ enabled: expect.any(Boolean), present: expect.any(Boolean) })
  }
  for (const event of events) expect(typeof event.event).toBe('string')
  qmp!.close()
  expect(stream.destroyed).toBe(true)
  expect((await outcome(() => qmp!.execute('stop'))).error?.code).toBe('guest_unreachable')
})

/** Nothing that a terminal would obey. */
const plain = (text: string) => !/[\x00-\x1f\x7f-\x9f]/.test(text)
