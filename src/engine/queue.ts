/** One queue of state changes per workspace: they happen one after another, those of different workspaces at once. */
export interface Queues {
  run: <T>(key: string, change: () => Promise<T>) => Promise<T>
  /** Resolves when nothing is queued. */
  idle: () => Promise<void>
  size: () => number
}

export function queues(): Queues {
  const tails = new Map<string, Promise<unknown>>()
  return {
    run(key, change) {
      const before = tails.get(key) ?? Promise.resolve()
      const mine = before.then(change, change)
      const tail = mine.then(
        () => {},
        () => {},
      )
      tails.set(key, tail)
      void tail.then(() => {
        if (tails.get(key) === tail) tails.delete(key)
      })
      return mine
    },
    async idle() {
      while (tails.size > 0) await Promise.all(tails.values())
    },
    size: () => tails.size,
  }
}
