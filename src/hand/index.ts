/** The hand as the engine uses it: the holder and the connection are made when first needed and made again when lost. */
import { join } from 'node:path'
import { PyroError } from '../contract/errors.ts'
import { type Connection, openHand } from './connection.ts'
import { endHolder, startHolder } from './holder.ts'
import type { Hand, HandOperations } from './protocol.ts'

export type HandInfo = HandOperations['hello'][1]

export interface HandOptions {
  /** The native binary. */
  binary: string
  home: string
  runtimeDir: string
  /** Called around the start of a new holder; mounts of an older one are gone with it. */
  onHolder: (point: 'intent' | 'outcome') => Promise<void> | void
}

export interface HandService {
  call: Hand
  /** Who the hand is; starts the holder when it is not there. */
  info: () => Promise<HandInfo>
  /** A name for the present holder, comparable across engines. */
  holderId: () => Promise<string>
  /** The holder's number if this engine has met it. */
  holderPid: () => number | null
  /** Ends the connection, and the holder too where asked. */
  close: (alsoHolder: boolean) => Promise<void>
}

export function handService({ binary, home, runtimeDir, onHolder }: HandOptions): HandService {
  const socket = join(runtimeDir, 'holder.sock')
  const files = { binary, socket, info: join(home, 'holder.json') }
  let current: Promise<{ link: Connection; info: HandInfo }> | undefined
  let pid: number | null = null

  async function open() {
    let link: Connection
    try {
      link = await openHand(socket, binary)
    } catch {
      await onHolder('intent')
      await startHolder(files)
      link = await openHand(socket, binary)
      await onHolder('outcome')
    }
    void link.closed.then(() => {
      current = undefined
    })
    const info = (await link.call('hello', {})) as HandInfo
    pid = info.holder_pid
    return { link, info }
  }
  function ready() {
    if (current === undefined) {
      const opening = open()
      current = opening
      opening.catch(() => {
        if (current === opening) current = undefined
      })
    }
    return current
  }

  return {
    async call(op, args, options) {
      const { link } = await ready()
      return (await link.call(op, args, options)) as HandOperations[typeof op][1]
    },
    info: async () => (await ready()).info,
    holderId: async () => idOf((await ready()).info),
    holderPid: () => pid,
    async close(alsoHolder) {
      const open = await current?.catch(() => undefined)
      open?.link.close()
      await open?.link.closed
      if (alsoHolder) await endHolder(socket)
    },
  }
}

const idOf = (info: HandInfo) => `${info.boot_id}:${info.holder_pid}:${info.holder_start_time}`

/** The id that owns what belongs to the root user of a sandbox, on disk. */
export function sandboxOwner(info: HandInfo): { mode: 'root' | 'user'; size: number; offset: number } {
  if (info.mode === 'root') return { mode: 'root', size: 65_536, offset: 0 }
  const range = info.uid_map.find((entry) => entry.inside === 1)
  if (range === undefined) throw new PyroError('subids_missing', 'This user has no range of subordinate ids.')
  return { mode: 'user', size: Math.min(range.size, 65_535), offset: 1 }
}
