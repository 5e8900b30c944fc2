/** QEMU's monitor, played by nobody that one could trust. */
import { type Duplex, duplexPair } from 'node:stream'
import { describe, expect, test } from 'vitest'
import { type QmpEvent, type QmpOptions, speakQmp } from '../../../src/backend/qemu/qmp.ts'

const GREETING =
  '{"QMP": {"version": {"qemu": {"micro": 22, "minor": 2, "major": 7}}, "capabilities": ["oob"]}}\n'
const unreachable = { code: 'guest_unreachable' }

/** A monitor that answers each command by `say`, in pieces of so many bytes; null is the end of the stream. */
function monitor(
  say: (command: string, id: number) => string | Buffer | null,
  greeting: string | Buffer = GREETING,
  piece = Number.MAX_SAFE_INTEGER,
): Duplex {
  const [ours, theirs] = duplexPair()
  let read = ''
  theirs.on('error', () => {})
  theirs.on('data', (bytes: Buffer) => {
    read += bytes
    for (let at = read.indexOf('\n'); at !== -1; at = read.indexOf('\n')) {
      const { execute, id } = JSON.parse(read.slice(0, at)) as { execute: string; id: number }
      read = read.slice(at + 1)
      send(say(execute, id))
    }
  })
  const send = (said: string | Buffer | null) => {
    if (said === null) {
      theirs.end()
      return
    }
    const bytes = Buffer.from(said)
    for (let at = 0; at < bytes.length; at += piece) theirs.write(bytes.subarray(at, at + piece))
  }
  send(greeting)
  return ours
}
const polite =
  (say: (command: string, id: number) => string) =>
  (command: string, id: number): string =>
    command === 'qmp_capabilities' ? `{"return": {}, "id": ${id}}\r\n` : say(command, id)
const answering = (value: string) => polite((_, id) => `{"return": ${value}, "id": ${id}}\n`)
const speak = (stream: Duplex, options: QmpOptions = {}) => speakQmp(stream, { timeoutMs: 500, ...options })

describe('a monitor that keeps to the protocol', () => {
  test('greets, answers and tells what happens', async () => {
    const events: QmpEvent[] = []
    const event = '{"event": "STOP", "timestamp": {"seconds": 1, "microseconds": 2}}\n'
    const say = polite((_, id) => `${event}{"return": {"status": "paused", "running": false}, "id": ${id}}\n`)
    const qmp = await speak(monitor(say), { onEvent: (happened) => events.push(happened) })
    expect(qmp.version).toEqual({ major: 7, minor: 2, micro: 22 })
    const both = Promise.all([qmp.execute('query-status'), qmp.execute('query-status')])
    expect(await both).toEqual(Array(2).fill({ status: 'paused', running: false }))
    expect(events).toEqual([{ event: 'STOP' }, { event: 'STOP' }])
    qmp.close()
    await expect(qmp.execute('cont')).rejects.toMatchObject(unreachable)
  })
  test('refuses with its own words, and goes on', async () => {
    let refused = 0
    const qmp = await speak(
      monitor(
        polite((_, id) =>
          refused++ === 0
            ? `{"error": {"class": "GenericError", "desc": "not now"}, "id": ${id}}\n`
            : `{"return": {}, "id": ${id}}\n`,
        ),
      ),
    )
    await expect(qmp.execute('cont')).rejects.toMatchObject({
      code: 'machine_failed',
      message: 'QEMU refuses: not now',
    })
    expect(await qmp.execute('cont')).toEqual({})
    qmp.close()
  })
  test('byte by byte', async () => {
    const qmp = await speak(monitor(answering('{"enabled": true, "present": true}'), GREETING, 1))
    expect(await qmp.execute('query-kvm')).toEqual({ enabled: true, present: true })
    qmp.close()
  })
})

describe('one that does not', () => {
  test.each<[string, string]>([
    ['says nothing', ''],
    ['is no monitor', 'SSH-2.0-OpenSSH\n'],
    ['greets with something else', '{"QMP": {"version": {}}}\n'],
    ['answers before it is asked', '{"return": {}, "id": 1}\n'],
    ['answers with a list', '[]\n'],
    ['writes an endless line', 'x'.repeat(300_000)],
    ['hides a long line among short ones', `\n\n${' '.repeat(300_000)}\n`],
    ['greets twice', GREETING + GREETING],
  ])('that %s', async (_, greeting) => {
    const stream = monitor(() => '', greeting)
    await expect(speak(stream, { timeoutMs: 200 })).rejects.toMatchObject(unreachable)
    expect(stream.destroyed).toBe(true)
  })
  test.each<[string, (command: string, id: number) => string]>([
    ['does not answer', polite(() => '')],
    ['answers another question', answering('{}')],
    ['answers with the wrong kinds', answering('{"status": 1, "running": "yes"}')],
    ['answers with a long name', answering(`{"status": "${'s'.repeat(200)}", "running": true}`)],
    ['answers twice', polite((_, id) => `{"return": {}, "id": ${id + 1}}\n`.repeat(2))],
    ['answers as somebody else', polite((_, id) => `{"return": {}, "id": "${id}"}\n`)],
    ['breaks off', polite((_, id) => `{"return": {"status": "running", "id": ${id}\n`)],
    ['will not negotiate', (_, id) => `{"error": {"class": "x", "desc": "no"}, "id": ${id}}\n`],
  ])('that %s', async (_, say) => {
    const stream = monitor(say)
    await expect(
      speak(stream, { timeoutMs: 200 }).then((qmp) => qmp.execute('query-status')),
    ).rejects.toThrow(/monitor|QEMU/)
    expect(stream.destroyed).toBe(true)
  })
  test('that goes away', async () => {
    const [ours, theirs] = duplexPair()
    const opened = speak(ours)
    theirs.destroy()
    ours.destroy(new Error('reset'))
    await expect(opened).rejects.toMatchObject(unreachable)
  })
})
