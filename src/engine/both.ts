/**
 * Two things at once: the failure of one, or of the caller, asks the other to end. Settles when both have, so that
 * nothing is still at work when the caller begins to undo.
 */
export async function both<A, B>(
  signal: AbortSignal,
  first: (signal: AbortSignal) => Promise<A>,
  second: (signal: AbortSignal) => Promise<B>,
): Promise<[A, B]> {
  const failing = new AbortController()
  const either = AbortSignal.any([signal, failing.signal])
  let failure: { error: unknown } | undefined
  const guarded = <T>(work: (signal: AbortSignal) => Promise<T>) =>
    work(either).catch((error: unknown) => {
      failure ??= { error }
      failing.abort(error)
      return undefined as never
    })
  const results = await Promise.all([guarded(first), guarded(second)])
  if (failure !== undefined) throw failure.error
  signal.throwIfAborted()
  return results
}

/** Rejects when the caller does not want an answer any more: for a race with what cannot be asked to end. */
export function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    const abort = () => reject(signal.reason)
    if (signal.aborted) abort()
    else signal.addEventListener('abort', abort, { once: true })
  })
}
