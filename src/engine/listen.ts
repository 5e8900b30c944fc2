/** The engine's API on TCP: off until somebody says so, then remembered, and tried again where it could not be had. */
import type { Listener } from '../contract/fields.ts'
import { PyroError, toPyroError } from '../contract/errors.ts'
import type { CheckedInputOf, OutputOf } from '../contract/table.ts'
import type { SettingTable } from '../store/settings.ts'
import { DEFAULT_ADDRESS, isLoopback, parseAddress, urlOf } from './address.ts'
import type { Journal } from './journal.ts'
import type { Queues } from './queue.ts'
import { readToken, removeHalf, tokenPath, writeToken } from './token.ts'

export interface ListenSetting {
  /** An address of this machine. */
  host: string
  /** 0: a free one. */
  port: number
  /** Names that a Host header may hold beside those of loopback and the address. */
  allowed_hosts: string[]
  allowed_origins: string[]
}
/** A listening server, as a surface makes it. */
export interface Opened {
  port: number
  allow: (names: Pick<ListenSetting, 'allowed_hosts' | 'allowed_origins'>) => void
  /** Ends every connection there is. */
  dropAll: () => void
  close: () => Promise<void>
}
export type OpenListener = (setting: ListenSetting, token: () => string) => Promise<Opened>

export interface Listening {
  /** Listens where an earlier engine was told to. Never fails: `status` says what is wrong. */
  resume: () => Promise<void>
  /** Whether the engine has to stay for it. */
  wanted: () => boolean
  status: () => Listener
  listen: (input: CheckedInputOf<'daemon_listen'>) => Promise<OutputOf<'daemon_listen'>>
  token: (input: CheckedInputOf<'daemon_token'>) => Promise<OutputOf<'daemon_token'>>
  /** Tries no more; what is open stays open. */
  stop: () => void
}

interface ListeningOptions {
  home: string
  settings: SettingTable
  record: Journal
  queues: Queues
  open: OpenListener
  log: (event: string, fields?: Record<string, unknown>) => void
}

const NAME = 'listen'
const AGAIN_MS = 5000
/** Where MCP is spoken on the same address. */
export const MCP_PATH = '/mcp'

export function listening({ home, settings, record, queues, open, log }: ListeningOptions): Listening {
  const file = tokenPath(home)
  let setting = settings.get<ListenSetting>(NAME)
  let opened: Opened | undefined
  let failure: PyroError | undefined
  let token: string | undefined
  let again: NodeJS.Timeout | undefined

  const current = () => token ?? ''
  const inTurn = <T>(change: () => Promise<T>) => queues.run(NAME, change)
  const makeToken = () => (token = record('token.outcome', () => writeToken(file)))
  const requireToken = () => (token ??= readToken(file) ?? makeToken())

  async function resume(): Promise<void> {
    removeHalf(file)
    if (setting !== undefined) await inTurn(attempt)
  }

  async function attempt(): Promise<void> {
    clearTimeout(again)
    if (setting === undefined || opened !== undefined) return
    try {
      requireToken()
      opened = await open(setting, current)
      failure = undefined
      log('http.listening', { address: urlOf(setting) })
    } catch (thrown) {
      const error = toPyroError(thrown)
      if (failure?.message !== error.message) log('http.failed', { error: error.message })
      failure = error
      again = setTimeout(() => void inTurn(attempt), AGAIN_MS).unref()
    }
  }

  function wish(input: CheckedInputOf<'daemon_listen'>): ListenSetting {
    const address = input.address === undefined ? (setting ?? DEFAULT_ADDRESS) : parseAddress(input.address)
    if (input.address !== undefined && !isLoopback(address.host) && !input.allow_remote) {
      throw new PyroError(
        'invalid_input',
        `address: ${address.host} is not loopback, and nothing that is sent there is encrypted, the token included.`,
        {
          hint: 'Listen on 127.0.0.1 and come through a tunnel: ssh -L 7796:127.0.0.1:7796 HOST. Or give --allow-remote.',
        },
      )
    }
    return {
      host: address.host,
      port: address.port,
      allowed_hosts: input.allowed_hosts ?? setting?.allowed_hosts ?? [],
      allowed_origins: (input.allowed_origins ?? setting?.allowed_origins ?? []).map((each) =>
        each.toLowerCase(),
      ),
    }
  }

  /** The new server is there before the old one goes, unless both want the one port. */
  async function change(wished: ListenSetting): Promise<void> {
    const [before, old] = [opened, setting]
    const same = before !== undefined && old?.host === wished.host && old.port === wished.port
    if (same) {
      record('listen.outcome', () => settings.set(NAME, wished))
      before.allow(wished)
      setting = wished
      return
    }
    if (before !== undefined && old?.port === wished.port) {
      opened = undefined
      await before.close()
    }
    let fresh: Opened | undefined
    try {
      fresh = await open(wished, current)
      const kept = { ...wished, port: fresh.port }
      record('listen.outcome', () => settings.set(NAME, kept))
      setting = kept
    } catch (error) {
      await fresh?.close()
      await attempt()
      throw error
    }
    clearTimeout(again)
    failure = undefined
    const replaced = opened
    opened = fresh
    log('http.listening', { address: urlOf(setting) })
    await replaced?.close()
  }

  async function off(): Promise<void> {
    if (setting !== undefined) record('listen.off', () => settings.forget(NAME))
    clearTimeout(again)
    const open = opened
    setting = opened = failure = undefined
    await open?.close()
  }

  function status(): Listener {
    const url = setting === undefined ? null : urlOf(setting)
    return {
      listening: opened !== undefined,
      url,
      mcp_url: url === null ? null : `${url}${MCP_PATH}`,
      allowed_hosts: setting?.allowed_hosts ?? [],
      allowed_origins: setting?.allowed_origins ?? [],
      error: failure?.message ?? null,
    }
  }

  return {
    resume,
    status,
    wanted: () => setting !== undefined,
    stop: () => clearTimeout(again),
    listen: (input) =>
      inTurn(async () => {
        if (input.off) await off()
        else {
          const wished = wish(input)
          requireToken()
          await change(wished)
        }
        return { ...status(), token_file: file, warnings: setting === undefined ? [] : warnings(setting) }
      }),
    token: ({ rotate }) =>
      inTurn(async () => {
        const made = rotate ? makeToken() : requireToken()
        // Whoever came with the old one is told so when they come again.
        if (rotate) opened?.dropAll()
        await attempt()
        return { token: made, token_file: file, rotated: rotate }
      }),
  }
}

function warnings({ host, port }: ListenSetting): string[] {
  if (isLoopback(host)) return []
  return [
    `${host}:${port} can be reached from other machines. Nothing is encrypted: who can listen on the way gets the token, ` +
      'and with it all that the user of this engine may do. A tunnel (ssh -L) to a loopback address has none of this.',
  ]
}
