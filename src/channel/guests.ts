/** The open channels, one per running sandbox, made when first needed. */
import { type Dial, type Guest, guest } from './guest.ts'

export interface Guests {
  of: (id: string) => Guest
  drop: (id: string) => void
  closeAll: () => void
}

export function guests(dial: (id: string, use: Parameters<Dial>[0]) => ReturnType<Dial>): Guests {
  const open = new Map<string, Guest>()
  return {
    of(id) {
      let channel = open.get(id)
      if (channel === undefined) {
        channel = guest((use) => dial(id, use))
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
