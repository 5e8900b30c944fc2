/** A call to the engine as a command makes it, and its output as a command shows it. */
import type { Client } from '../sdk/client.ts'
import { print, printJson } from './print.ts'
import type { Invocation } from './program.ts'
import { progressLine } from './progress.ts'

export async function ask(
  engine: Client,
  { operation, input, flags }: Invocation,
): Promise<Record<string, unknown>> {
  const progress = progressLine({ operation, quiet: flags.json })
  const stop = new AbortController()
  const signals = ['SIGINT', 'SIGTERM'] as const
  const abort = () => stop.abort()
  // The first one takes the call back, and the engine undoes what had begun; a second one ends this process at once.
  for (const signal of signals) process.once(signal, abort)
  try {
    const options = { onProgress: progress?.show, signal: stop.signal }
    return await engine.call(operation.name, input as never, options)
  } finally {
    for (const signal of signals) process.off(signal, abort)
    progress?.clear()
  }
}

/** Gives the exit status: a check that fails is a result, and a script wants to know of it. */
export async function show(
  { operation, flags }: Invocation,
  output: Record<string, unknown>,
  json: boolean,
): Promise<number> {
  if (json) printJson(output)
  else if (flags.idOnly) print(String(output['workspace_id']))
  else (await import('./render.ts')).render(operation, output)
  return output['ok'] === false ? 1 : 0
}
