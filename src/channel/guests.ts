/** The open channels, one per running sandbox, made when first needed. */
import type { Socket } from 'node:net'
import { type Guest, guest } from './guest.ts'

export interface Guests {
  of: (id: string) => Guest
  drop: (id: string) => void
  closeAll: () => void
}

export function guests(dial: (id: string) => Socket): Guests {
  const open = new Map<string, Guest>()
  return {
    of(id) {
      let channel = open.get(id)
      if (channel === undefined) {
        channel = guest(() => dial(id))
        open.set(id, channel)
      }
      return channel
    },
    drop(id) {
      open.get(id)?.close()
      open.delete(id)
    },
    closeAll() {
      for (const id of [...open.keys()]) this.drop(id)
    },
  }
}
