/** TCP addresses that the engine may listen on. */
import { BlockList, isIP } from 'node:net'
import { PyroError } from '../contract/errors.ts'

export interface Address {
  /** An address of this machine, without brackets. */
  host: string
  /** 0: a free one. */
  port: number
}

export const DEFAULT_ADDRESS: Address = { host: '127.0.0.1', port: 7796 }

const FORM = /^(?:(\d{1,5})|(localhost|[\d.]+|\[[\da-f:.]+\])(?::(\d{1,5}))?)$/i

/** `HOST:PORT`, `HOST` or `PORT`; HOST is localhost or an address, IPv6 in brackets. @throws invalid_input */
export function parseAddress(text: string): Address {
  const [, alone, named = 'localhost', after] = FORM.exec(text) ?? [text, undefined, '?']
  const host = named.toLowerCase() === 'localhost' ? DEFAULT_ADDRESS.host : named.replace(/^\[|\]$/g, '')
  const port = Number(alone ?? after ?? DEFAULT_ADDRESS.port)
  if (isIP(host) > 0 && port <= 65_535) return { host, port }
  throw new PyroError('invalid_input', `address: ${JSON.stringify(text)} is no address to listen on.`, {
    hint: 'Give HOST:PORT, e.g. 127.0.0.1:7796 or [::1]:7796; HOST is an address of this machine, or localhost.',
  })
}

const loopback = new BlockList()
loopback.addSubnet('127.0.0.0', 8, 'ipv4')
loopback.addAddress('::1', 'ipv6')

export const isLoopback = (host: string): boolean => loopback.check(host, isIP(host) === 6 ? 'ipv6' : 'ipv4')

/** How a client of this machine names it: what stands for every address is reached by loopback. */
export function urlOf({ host, port }: Address): string {
  const named = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
  return `http://${isIP(named) === 6 ? `[${named}]` : named}:${port}`
}
