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
  try {
    return await engine.call(operation.name, input as never, { onProgress: progress?.show })
  } finally {
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
