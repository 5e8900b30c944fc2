/** Which engine a client asks: this machine's, by its socket, or one that listens on an address. */
import { PyroError } from '../../contract/errors.ts'

export interface Remote {
  /** Without a slash at its end. */
  url: string
  token: string
}
export interface EndpointOptions {
  /** State directory; default: PYRO_HOME, or the XDG state directory. */
  home?: string | undefined
  /** Ask the engine at this address instead: http://HOST:PORT, or https:// before a proxy. Default: PYRO_URL. */
  url?: string | undefined
  /** The engine's token, as pyro daemon token prints it. Default: PYRO_TOKEN. */
  token?: string | undefined
}

/** Null for this machine's engine; a home that is given in the program comes before PYRO_URL. @throws invalid_input */
export function remoteOf({ home, url, token }: EndpointOptions, env: NodeJS.ProcessEnv): Remote | null {
  if (url !== undefined && home !== undefined)
    throw new PyroError('invalid_input', 'home and url name two engines: give one of them.')
  const named = url ?? (home === undefined ? env['PYRO_URL'] : undefined)
  if (named === undefined || named === '') return null
  const where = url === undefined ? 'PYRO_URL' : 'url'
  return { url: checkedUrl(named, where), token: checkedToken(token ?? env['PYRO_TOKEN'], where) }
}

function checkedUrl(text: string, where: string): string {
  // What was given is not quoted: it may hold a password.
  const bad = (why: string) =>
    new PyroError('invalid_input', `${where} is no address of an engine: ${why}.`, {
      hint: 'pyro daemon status names it on the machine of the engine, e.g. http://127.0.0.1:7796.',
    })
  const url = URL.parse(text)
  if (url === null) throw bad('it is no URL')
  if (url.protocol !== 'http:' && url.protocol !== 'https:')
    throw bad('it must begin with http:// or https://')
  if (url.username !== '' || url.password !== '')
    throw bad('it holds a user name; the token has a place of its own')
  if (url.search !== '' || url.hash !== '') throw bad('it has a query or a fragment')
  return url.href.replace(/\/+$/, '')
}

function checkedToken(token: string | undefined, where: string): string {
  const text = token?.trim() ?? ''
  if (/^[\x21-\x7e]{1,1024}$/.test(text)) return text
  const why = text === '' ? 'there is no token to go with it' : 'the token holds what no token can'
  throw new PyroError('invalid_input', `${where} is set, but ${why}.`, {
    hint: 'Set PYRO_TOKEN to what pyro daemon token prints on the machine of the engine.',
  })
}
