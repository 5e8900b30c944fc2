import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { PyroError } from '../../src/contract/errors.ts'
import { sinceMs, signOfLife } from '../../src/engine/clock.ts'
import { wasExported } from '../../src/engine/unexported.ts'
import { insideWorkspace } from '../../src/engine/export.ts'
import { FAULT_POINTS, parseFaults } from '../../src/engine/faults.ts'
import { newWorkspaceId } from '../../src/engine/ids.ts'
import { queues } from '../../src/engine/queue.ts'
import { mayBecome, requireState } from '../../src/engine/states.ts'
import { streamChunk, wholeText } from '../../src/engine/text.ts'
import { WORKSPACE_ID, WORKSPACE_STATES } from '../../src/contract/fields.ts'
import { ROOT } from '../support/engine.ts'

test('ids match the pattern that names may not have', () => {
  for (let i = 0; i < 200; i++) expect(newWorkspaceId()).toMatch(WORKSPACE_ID)
})

describe('queue', () => {
  test('one key in order, different keys at once, failures do not stop it', async () => {
    const queue = queues()
    const seen: string[] = []
    let open: () => void = () => {}
    const gate = new Promise<void>((resolve) => {
      open = resolve
    })
    const first = queue.run('a', async () => {
      await gate
      seen.push('a1')
      throw new Error('a1 failed')
    })
    const second = queue.run('a', async () => void seen.push('a2'))
    await queue.run('b', async () => void seen.push('b1'))
    open()
    await expect(first).rejects.toThrow('a1 failed')
    await second
    await queue.idle()
    expect(seen).toEqual(['b1', 'a1', 'a2'])
    expect(queue.size()).toBe(0)
  })
})

describe('states', () => {
  test('nothing leaves deleting, everything can be deleted', () => {
    for (const state of WORKSPACE_STATES) expect(mayBecome(state, 'deleting')).toBe(true)
    for (const state of WORKSPACE_STATES)
      if (state !== 'deleting') expect(mayBecome('deleting', state)).toBe(false)
  })
  test('what is stopped or failed can be started, and nothing else', () => {
    const before = WORKSPACE_STATES.filter((state) => mayBecome(state, 'starting'))
    expect(before.sort()).toEqual(['failed', 'stopped'])
    expect(WORKSPACE_STATES.filter((state) => mayBecome(state, 'stopping'))).toEqual(['running'])
  })
  test('a refusal says the state and why', () => {
    const row = { id: 'ws-x', state: 'stopped' as const, reason: 'host restarted' }
    expect(() => requireState(row, 'running')).toThrow(/ws-x is stopped \(host restarted\)/)
    expect(() => requireState(row, 'running')).toThrow(
      expect.objectContaining({ hint: expect.stringContaining('pyro workspace start ws-x') }),
    )
  })
})

describe('idle time', () => {
  test('goes on from one engine to the next, and begins anew with a boot', () => {
    const { life } = signOfLife()
    expect(sinceMs({ ...life, at_ms: life.at_ms - 5000 })).toBeGreaterThanOrEqual(5000)
    expect(sinceMs({ ...life, at_ms: life.at_ms + 5000 })).toBe(0)
    expect(sinceMs({ boot_id: 'another', at_ms: 0 })).toBe(0)
    expect(sinceMs(null)).toBe(0)
  })
  test('is counted by the clock that stands still while this machine sleeps', () => {
    // The kernel is asked by another program.
    const script = 'import time; print(int(time.clock_gettime(time.CLOCK_MONOTONIC) * 1000))'
    const before = signOfLife().life.at_ms
    const kernel = Number(execFileSync('python3', ['-c', script], { encoding: 'utf8' }))
    expect(kernel).toBeGreaterThanOrEqual(before)
    expect(kernel).toBeLessThanOrEqual(signOfLife().life.at_ms)
  })
})

describe('text', () => {
  test('a character is never cut', () => {
    const bytes = Buffer.from('a€😀')
    expect(wholeText(bytes.subarray(0, 3)).toString()).toBe('a')
    expect(wholeText(bytes.subarray(0, 4)).toString()).toBe('a€')
    expect(wholeText(bytes.subarray(0, 7)).toString()).toBe('a€')
    expect(wholeText(bytes).toString()).toBe('a€😀')
  })
  test('chunks join to the same bytes wherever they are cut', () => {
    const bytes = Buffer.concat([
      Buffer.from('grüße 😀 '),
      Buffer.from([0xff, 0x00, 0xc3]),
      Buffer.from('end'),
    ])
    for (let size = 1; size <= bytes.length; size++) {
      const parts: Buffer[] = []
      let cursor = 0
      for (let rounds = 0; rounds < 200; rounds++) {
        const data = bytes.subarray(cursor, cursor + Math.max(size, 4))
        const chunk = streamChunk(cursor, { data, from: cursor, end: bytes.length, eof: true })
        parts.push(Buffer.from(chunk.data, chunk.encoding === 'base64' ? 'base64' : 'utf8'))
        cursor = chunk.cursor
        if (chunk.eof) break
      }
      expect(Buffer.concat(parts)).toEqual(bytes)
    }
  })
  test('lost bytes are counted', () => {
    const chunk = streamChunk(10, { data: Buffer.from('xyz'), from: 25, end: 28, eof: false })
    expect(chunk).toEqual({ data: 'xyz', encoding: 'utf-8', cursor: 28, end: 28, dropped: 15, eof: false })
  })
})

describe('export paths', () => {
  test.each(['/etc/passwd', '../x', '/workspace/../etc', '/workspacex', 'a/../../b', '/'])(
    '%s is refused',
    (path) => {
      expect(() => insideWorkspace(path)).toThrow(PyroError)
    },
  )
  test.each([
    ['.', '.'],
    ['/workspace', '.'],
    ['a//b/./c', 'a/b/c'],
    ['/workspace/a/', 'a'],
  ])('%s is %s', (path, inside) => {
    expect(insideWorkspace(path)).toBe(inside)
  })
  test('an export covers what changed before it, at or below its path', () => {
    const entry = (path: string, changed_at_ms: number) =>
      ({ path, change: 'added', type: 'file', size: 1, changed_at_ms }) as const
    expect(wasExported(entry('out/a', 5), [{ path: 'out', started_at: 6 }])).toBe(true)
    expect(wasExported(entry('out/a', 7), [{ path: 'out', started_at: 6 }])).toBe(false)
    expect(wasExported(entry('outer', 5), [{ path: 'out', started_at: 6 }])).toBe(false)
    expect(wasExported(entry('x', 5), [{ path: '.', started_at: 6 }])).toBe(true)
    const renamed = new Map([['out/moved', 9]])
    expect(wasExported(entry('out/moved/a', 5), [{ path: 'out', started_at: 6 }], renamed)).toBe(false)
    expect(wasExported(entry('out/still/a', 5), [{ path: 'out', started_at: 6 }], renamed)).toBe(true)
    expect(wasExported(entry('out/a', 5), [{ path: 'out', started_at: 6 }], new Map([['out', 9]]))).toBe(
      false,
    )
  })
})

describe('faults', () => {
  test('a setting that names nothing is refused', () => {
    expect(() => parseFaults('nowhere:kill')).toThrow(/expected name/)
    expect(() => parseFaults('create.intent:explode')).toThrow(/expected name/)
  })
  test('every fault point is recorded by the code, and every record has one', () => {
    const source = readdirSync(join(ROOT, 'src'), { recursive: true, encoding: 'utf8' })
      .filter((path) => path.endsWith('.ts') && !path.endsWith('faults.ts'))
      .map((path) => readFileSync(join(ROOT, 'src', path), 'utf8'))
      .join('\n')
    const recorded = new Set([...source.matchAll(/\brecord\(\s*'([a-z.]+)'/g)].map(([, name]) => name))
    const holder = source.includes('record(`holder.$' + '{point}`')
    for (const step of ['intent', 'outcome']) if (holder) recorded.add(`holder.${step}`)
    expect([...recorded].sort()).toEqual([...FAULT_POINTS].sort())
  })
})
