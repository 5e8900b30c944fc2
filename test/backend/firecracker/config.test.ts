import { describe, expect, test } from 'vitest'
import type { MachineDisk } from '../../../src/backend/backend.ts'
import { kernelLine, type MachineConfig, machineRequests } from '../../../src/backend/firecracker/config.ts'
import { settle } from '../../../src/backend/firecracker/limits.ts'
import { type Schema, violations } from '../../support/schema.ts'
import api from './api.gen.json' with { type: 'json' }

const disk = (name: MachineDisk['name'], readOnly: boolean): MachineDisk => ({
  name,
  path: `/images/${name}`,
  readOnly,
})
const config: MachineConfig = {
  limits: { enforcement: 'full', vcpu_count: 2, mem_mib: 512, pids_limit: 300, disk_mib: 1024, notes: [] },
  disks: [disk('env', true), disk('base', true), disk('changes', false)],
  inspect: false,
  version: [1, 16, 1],
  inJail: (name) => `/${name}`,
}
const definitions = api.definitions as Record<string, Schema>

/** What Firecracker's own description of its API says against a request. */
function complaints([path, body]: readonly [path: string, body: object]): string[] {
  const described = `PUT ${path.replace(/^\/drives\/[a-z]+$/, '/drives/{drive_id}')}`
  const schema = (api.requests as Record<string, Schema>)[described]
  return schema ? violations(body, schema, definitions, described) : [`${described} is not in the API`]
}

describe('requests', () => {
  test.each<[string, Partial<MachineConfig>]>([
    ['a machine', {}],
    ['one without a baseline', { disks: [disk('env', true), disk('changes', false)] }],
    ['one that is only looked into', { inspect: true }],
    ['one of an older Firecracker', { version: [1, 8, 0] }],
    ['the largest one', { limits: settle({ vcpu_count: 256, mem_mib: 1_048_576 }, 64) }],
  ])('%s is in the API, to the letter', (_, change) => {
    const requests = machineRequests({ ...config, ...change })
    expect(requests.flatMap(complaints)).toEqual([])
    expect(requests.at(-1)).toEqual(['/actions', { action_type: 'InstanceStart' }])
    expect(requests.map(([path]) => path)).not.toContain(expect.stringContaining('network'))
  })
  test('the check itself finds what is wrong', () => {
    expect(complaints(['/vsock', { guest_cid: 2, uds_path: '/v' }])).toHaveLength(1)
    expect(complaints(['/vsock', { guest_cid: 3 }])).toHaveLength(1)
    expect(complaints(['/vsock', { guest_cid: 3, uds_path: '/v', more: 1 }])).toHaveLength(1)
    expect(complaints(['/vsock', { guest_cid: '3', uds_path: '/v' }])).toHaveLength(1)
    expect(complaints(['/actions', { action_type: 'Stop' }])).toHaveLength(1)
    expect(complaints(['/serial', { rate_limiter: { size: -1, refill_time: 1.5 } }])).toHaveLength(2)
    expect(complaints(['/none', {}])).toHaveLength(1)
  })
  test('drives: the order is the names of the kernel line; writes are written; no root device', () => {
    const drives = machineRequests(config).filter(([path]) => path.startsWith('/drives/'))
    expect(drives.map(([, body]) => body)).toMatchObject([
      { drive_id: 'env', is_read_only: true, path_on_host: '/disk-env', is_root_device: false },
      { drive_id: 'base', is_read_only: true, path_on_host: '/disk-base', is_root_device: false },
      {
        drive_id: 'changes',
        is_read_only: false,
        path_on_host: '/disk-changes',
        cache_type: 'Writeback',
        is_root_device: false,
      },
    ])
  })
  test('also a machine that is looked into may put the writes of a journal in their places', () => {
    const written = (inspect: boolean) =>
      machineRequests({ ...config, inspect }).flatMap(([, body]) =>
        'is_read_only' in body ? [body.is_read_only] : [],
      )
    expect(written(true)).toEqual(written(false))
  })
  test('the console is limited where it can be', () => {
    const paths = (version: MachineConfig['version']) =>
      machineRequests({ ...config, version }).map(([path]) => path)
    expect(paths([1, 16, 0])).toContain('/serial')
    expect(paths([1, 15, 1])).not.toContain('/serial')
  })
})

describe('kernel line', () => {
  test('says what the guest has to know', () => {
    const words = kernelLine(config.disks, false, 300).split(' ')
    expect(words).toEqual(
      expect.arrayContaining([
        'reboot=k',
        'panic=-1',
        'pyro.mode=run',
        'pyro.env=/dev/vda',
        'pyro.base=/dev/vdb',
        'pyro.changes=/dev/vdc',
        'pyro.channel=vsock',
        'pyro.pids=300',
      ]),
    )
    // Modules are how the guest gets its disks.
    expect(words).not.toContain('nomodule')
    expect(words.join(' ').length).toBeLessThan(2048)
  })
  test('without a baseline the names move up; looking in is a mode', () => {
    const line = kernelLine([disk('env', true), disk('changes', false)], true, 1)
    expect(line).toContain('pyro.env=/dev/vda pyro.changes=/dev/vdb')
    expect(line).not.toContain('pyro.base')
    expect(line).toContain('pyro.mode=inspect')
  })
})

describe('limits', () => {
  test.each([
    [1, 1],
    [2, 2],
    [3, 2],
    [7, 6],
    [32, 32],
    [33, 32],
    [256, 32],
  ])('%i CPUs asked for are %i, and it is said', (asked, given) => {
    const { vcpu_count, notes } = settle({ vcpu_count: asked }, 64)
    expect(vcpu_count).toBe(given)
    expect(notes).toHaveLength(asked === given ? 0 : 1)
  })
  test('no more CPUs than the host has', () => {
    expect(settle({ vcpu_count: 8 }, 3)).toMatchObject({ vcpu_count: 2, notes: [expect.any(String)] })
  })
  test('defaults are whole machines', () => {
    expect(settle({}, 3)).toEqual({
      enforcement: 'full',
      vcpu_count: 2,
      mem_mib: 1024,
      pids_limit: 4096,
      disk_mib: 16_384,
      notes: [],
    })
    expect(settle({}, 1).vcpu_count).toBe(1)
  })
  test('less memory than the guest starts in is refused', () => {
    expect(() => settle({ mem_mib: 64 })).toThrow(expect.objectContaining({ code: 'not_supported' }))
    expect(settle({ mem_mib: 128 }).mem_mib).toBe(128)
  })
})
