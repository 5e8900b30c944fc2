/**
 * What is asked of a request that came by an address before a byte of its body is read: for whom it is (a web page that
 * had its own name resolve to this machine gives that name as Host), which page sent it, and whether it has the token.
 */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { PyroError } from '../../contract/errors.ts'

export interface Gate {
  allowed_hosts: string[]
  allowed_origins: string[]
}

const LOOPBACK_NAMES = ['localhost', '127.0.0.1', '[::1]']
const AUTHORITY = /^(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::\d{1,5})?$/

/** Undefined: it may go on. */
export function refusedHost(request: IncomingMessage, gate: Gate): PyroError | undefined {
  const given = request.headersDistinct['host'] ?? []
  const name = given.length === 1 ? AUTHORITY.exec(given[0]!.toLowerCase())?.[1] : undefined
  // An address in a Host header is one that the caller knew: a name that was made to point here is never one.
  const own = bracketed(request.socket.localAddress ?? '')
  if (name !== undefined && [...LOOPBACK_NAMES, own, ...gate.allowed_hosts].includes(name)) return undefined
  const what = given.length === 1 ? `Host ${shown(given[0]!)}` : `${given.length} Host headers`
  return new PyroError('forbidden', `The request has ${what}, for which nothing is answered here.`, {
    hint: 'Ask by localhost or by the address, or allow the name: pyro daemon listen --allow-host NAME.',
  })
}

/** The origin to answer for, null where there is none (no browser), or why it is refused. */
export function originOf(request: IncomingMessage, gate: Gate): string | null | PyroError {
  const given = request.headersDistinct['origin'] ?? []
  if (given.length === 0) return null
  const origin = given[0]!.toLowerCase()
  if (given.length === 1 && gate.allowed_origins.includes(origin)) return given[0]!
  return new PyroError('forbidden', `Pages of ${shown(given.join(', '))} may not ask this engine.`, {
    hint: 'Allow the origin: pyro daemon listen --allow-origin ORIGIN.',
  })
}

export type Proof = 'right' | 'wrong' | 'missing'

export function proofOf(request: IncomingMessage, token: string): Proof {
  const given = request.headersDistinct['authorization'] ?? []
  if (given.length === 0) return 'missing'
  const [, said] = /^Bearer +([\x21-\x7e]+) *$/i.exec(given[0]!) ?? []
  return given.length === 1 && said !== undefined && token !== '' && same(said, token) ? 'right' : 'wrong'
}

/** Takes as long however much of it is right; hashes are of one length. */
function same(one: string, other: string): boolean {
  const hash = (text: string) => createHash('sha256').update(text).digest()
  return timingSafeEqual(hash(one), hash(other))
}

export function unauthorized(proof: Proof): PyroError {
  const hint =
    'Send it as "authorization: Bearer TOKEN"; pyro daemon token prints it on the machine of the engine.'
  return proof === 'missing'
    ? new PyroError('unauthorized', 'The request has no bearer token.', { hint })
    : new PyroError('unauthorized', 'The bearer token is not the one of this engine.', { hint })
}

export const challenge = (proof: Proof): string =>
  proof === 'missing' ? 'Bearer realm="pyro"' : 'Bearer realm="pyro", error="invalid_token"'

function bracketed(address: string): string {
  const plain = address.replace(/^::ffff:(?=\d+\.)/, '')
  return plain.includes(':') ? `[${plain}]` : plain
}

/** A header of whoever it is, short and without what a terminal would obey. */
const shown = (text: string): string => JSON.stringify(text.length > 200 ? `${text.slice(0, 200)}…` : text)
