/**
 * Callers that want the same thing made at the same time share one making. It is told to end when the last of them has
 * gone, and each hears of its progress.
 */
import type { BuildOptions, BuildProgress } from './environment.ts'

interface Making<T> {
  result: Promise<T>
  listeners: Set<(progress: BuildProgress) => void>
  callers: number
  stop: AbortController
}

export type Shared<T> = (
  key: string,
  options: BuildOptions,
  make: (options: Required<Pick<BuildOptions, 'signal' | 'progress'>>) => Promise<T>,
) => Promise<T>

export function shared<T>(): Shared<T> {
  const all = new Map<string, Making<T>>()

  return async (key, { signal, progress }, make) => {
    signal?.throwIfAborted()
    const known = all.get(key)
    const making = known ?? start()
    function start(): Making<T> {
      const stop = new AbortController()
      const listeners: Making<T>['listeners'] = new Set()
      const tell = (said: BuildProgress) => {
        for (const listener of listeners) listener(said)
      }
      const result = make({ signal: stop.signal, progress: tell })
      const made = { result, listeners, callers: 0, stop }
      all.set(key, made)
      const forget = () => {
        if (all.get(key) === made) all.delete(key)
      }
      result.then(forget, forget)
      return made
    }
    making.callers++
    if (progress) making.listeners.add(progress)
    let leave = () => {}
    const left = new Promise<never>((_, reject) => {
      leave = () => reject(signal?.reason)
      signal?.addEventListener('abort', leave, { once: true })
    })
    try {
      return await Promise.race([making.result, left])
    } finally {
      signal?.removeEventListener('abort', leave)
      if (progress) making.listeners.delete(progress)
      if (--making.callers === 0 && all.get(key) === making) {
        // Who comes now starts anew; this one is ending.
        all.delete(key)
        making.stop.abort(signal?.reason)
        // Nothing of it is at work any more when the last caller is told.
        await making.result.catch(() => {})
      }
    }
  }
}
