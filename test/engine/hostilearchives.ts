/** Archives that mean harm, each with the code that it has to be refused with. */
import { gzipSync, zstdCompressSync } from 'node:zlib'
import type { ErrorCode } from '../../src/contract/errors.ts'
import { tarOf } from '../support/tar.ts'

/** Bounds that the engine under test is given. */
export const MAX_BYTES = 32 * 1024 ** 2
export const MAX_ENTRIES = 500

const FORMS = ['plain', 'gzip', 'zstd'] as const
type Form = (typeof FORMS)[number]

export interface HostileArchive {
  name: string
  code: ErrorCode
  tar: Buffer
  form: Form
  /** Of what was packed, only so many bytes from the end are missing. */
  cut?: number
}

export function packed({ tar, form, cut = 0 }: Pick<HostileArchive, 'tar' | 'form' | 'cut'>): Buffer {
  const whole = form === 'gzip' ? gzipSync(tar) : form === 'zstd' ? zstdCompressSync(tar) : tar
  return whole.subarray(0, whole.length - cut)
}

const many = (count: number, bytes: number) =>
  tarOf(...Array.from({ length: count }, (_, i) => ({ name: `f${i}`, content: Buffer.alloc(bytes) })))

/** Takes a while to be unpacked, within the bounds. */
export const slowArchive = (): Buffer =>
  gzipSync(
    tarOf(
      ...Array.from({ length: 400 }, (_, i) => ({ name: `d${i}/f`, content: Buffer.alloc(64_000, i + 1) })),
    ),
  )

export function hostileArchives(): HostileArchive[] {
  const bad: ErrorCode = 'seed_invalid'
  const sparse = { 'GNU.sparse.major': '1', 'GNU.sparse.minor': '0', 'GNU.sparse.name': 'huge' }
  const all: [string, ErrorCode, Buffer, number?][] = [
    ['a name with ..', bad, tarOf({ name: 'a/../../victim', content: 'gone' })],
    ['an absolute name', bad, tarOf({ name: '/tmp/pyro-victim', content: 'gone' })],
    ['a link up and out', bad, tarOf({ name: 'a/link', type: '2', link: '../../victim' })],
    ['an absolute link', bad, tarOf({ name: 'link', type: '2', link: '/etc/passwd' })],
    [
      'a link out by another link',
      bad,
      tarOf({ name: 'a/b/s', type: '2', link: '../..' }, { name: 'l', type: '2', link: 'a/b/s/../x' }),
    ],
    [
      'a file through a link',
      bad,
      tarOf({ name: 'd', type: '2', link: '.' }, { name: 'd/victim', content: 'gone' }),
    ],
    ['a hard link out', bad, tarOf({ name: 'h', type: '1', link: '../victim' })],
    [
      'a hard link to a link',
      bad,
      tarOf({ name: 'l', type: '2', link: 'x' }, { name: 'h', type: '1', link: 'l' }),
    ],
    ['a hard link to nothing', bad, tarOf({ name: 'h', type: '1', link: 'later' }, { name: 'later' })],
    ['a device', bad, tarOf({ name: 'sda', type: '4' })],
    ['a whiteout of overlayfs', bad, tarOf({ name: 'gone', type: '3' })],
    ['a name twice', bad, tarOf({ name: 'a', content: 'seen' }, { name: './a', content: 'meant' })],
    ['a folder and a file of one name', bad, tarOf({ name: 'a/', type: '5' }, { name: 'a', content: 'x' })],
    ['a name that is too long', bad, tarOf({ name: 'x', pax: { path: 'n'.repeat(256) } })],
    ['nesting that is too deep', bad, tarOf({ name: 'x', pax: { path: `${'d/'.repeat(1500)}x` } })],
    ['a name with NUL', bad, tarOf({ name: 'x', pax: { path: 'a\0b' } })],
    ['a size that lies', bad, tarOf({ name: 'a', content: 'short', size: 1_000_000 })],
    ['a size beyond all disks', 'seed_too_large', tarOf({ name: 'a', size: 0o77777777777 })],
    [
      'a sparse file of a terabyte',
      'seed_too_large',
      tarOf({
        name: 'x',
        content: '0\n'.padEnd(512, '\0'),
        pax: { ...sparse, 'GNU.sparse.realsize': String(1024 ** 4) },
      }),
    ],
    ['more bytes than the limit', 'seed_too_large', many(40, 1024 ** 2)],
    ['a bomb', 'seed_too_large', many(1, 256 * 1024 ** 2)],
    ['more entries than the limit', 'seed_too_large', many(MAX_ENTRIES + 1, 0)],
    [
      'endless records before an entry',
      bad,
      tarOf({ name: 'x', pax: { comment: 'c'.repeat(2 * 1024 ** 2) } }),
    ],
    ['something behind the end', bad, Buffer.concat([tarOf({ name: 'a' }), tarOf({ name: '../b' })])],
    ['an end that is missing', bad, tarOf({ name: 'a', content: 'x'.repeat(2000) }), 1200],
  ]
  return all.map(([name, code, tar, cut], at) => {
    const form: Form = cut === undefined ? FORMS[at % 3]! : 'plain'
    return { name, code, tar, form, ...(cut === undefined ? {} : { cut }) }
  })
}
