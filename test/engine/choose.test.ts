import { describe, expect, test } from 'vitest'
import type { Availability, Backend } from '../../src/backend/backend.ts'
import type { PyroError } from '../../src/contract/errors.ts'
import { choose } from '../../src/engine/choose.ts'

const works: Availability = { usable: true, hardware: true, reason: null, hint: null }
const emulates: Availability = { usable: true, hardware: false, reason: 'no KVM', hint: 'get KVM' }
const lacks: Availability = { usable: false, hardware: false, reason: 'not found', hint: 'install it' }

const backend = (name: Backend['name'], availability: Availability) =>
  ({
    name,
    isolation: name === 'oci' ? 'container' : 'machine',
    availability: async () => availability,
  }) as Backend
const host = (firecracker: Availability, qemu: Availability) => [
  backend('firecracker', firecracker),
  backend('qemu', qemu),
  backend('oci', works),
]
const anywhere = { name: 'debian', backends: ['oci', 'qemu', 'firecracker'] }
const containers = { name: 'host', backends: ['oci'] }

const chosen = (backends: Backend[], asked: Parameters<typeof choose>[1], environment = anywhere) =>
  choose(backends, asked, environment).then(
    ({ name }) => name,
    (error: PyroError) => `${error.code}: ${error.message} ${error.hint}`,
  )

describe('the choice of a backend', () => {
  test.each([
    ['a machine where hardware runs it', host(works, works), {}, anywhere, /^firecracker$/],
    ['the next machine', host(lacks, works), {}, anywhere, /^qemu$/],
    ['a container where machines would be emulated', host(lacks, emulates), {}, anywhere, /^oci$/],
    ['a container for an environment that is for those', host(works, works), {}, containers, /^oci$/],
    ['a container that was asked for', host(works, works), { isolation: 'container' }, anywhere, /^oci$/],
  ] as const)('auto takes %s', async (_what, backends, asked, environment, expected) => {
    const how = { backend: 'auto', ...asked } as const
    expect(await chosen(backends, how, { ...environment, backends: [...environment.backends] })).toMatch(
      expected,
    )
  })
  test('a machine that was asked for is never a container, nor emulated unless by name', async () => {
    const answer = await chosen(host(lacks, emulates), { backend: 'auto', isolation: 'machine' })
    expect(answer).toMatch(/^backend_unavailable: .*not found.*no KVM.*--backend qemu/)
    expect(await chosen(host(lacks, emulates), { backend: 'qemu', isolation: 'machine' })).toBe('qemu')
    expect(await chosen(host(lacks, lacks), { backend: 'auto', isolation: 'machine' })).toMatch(/install it/)
  })
  test('what cannot be is refused with why and what to do', async () => {
    expect(await chosen(host(lacks, works), { backend: 'firecracker' })).toMatch(
      /^backend_unavailable: .*not found.*install it/,
    )
    expect(await chosen(host(works, works), { backend: 'qemu' }, containers)).toMatch(/^backend_unavailable/)
    expect(await chosen(host(works, works), { backend: 'auto', isolation: 'machine' }, containers)).toMatch(
      /^backend_unavailable: .*runs in no machine/,
    )
    expect(await chosen(host(works, works), { backend: 'oci', isolation: 'machine' })).toMatch(
      /^invalid_input/,
    )
  })
})
