/** One call of a tool: asks the engine, answers with the structured result and a short text of it. */
import { toPyroError } from '../../contract/errors.ts'
import type { OperationName, Progress } from '../../contract/table.ts'
import type { Client } from '../sdk/client.ts'
import { progressText } from '../progress.ts'
import { textOf } from './text.ts'
import type { Tool } from './tools.ts'

/** Who answers: a client of an engine, or the engine itself. */
export type Asked = Pick<Client, 'call'>

interface ToolCall {
  engine: Asked
  tool: Tool
  input: Record<string, unknown> | undefined
  signal: AbortSignal
  tell: ((message: string) => void) | undefined
}

export async function callTool({ engine, tool, input, signal, tell }: ToolCall) {
  try {
    const name = tool.operation.name as OperationName
    const onProgress = tell && ((progress: Progress) => tell(messageOf(progress)))
    const output = await engine.call(name, { ...tool.defaults, ...input } as never, { signal, onProgress })
    return {
      content: [{ type: 'text' as const, text: textOf(output) }],
      structuredContent: output as Record<string, unknown>,
    }
  } catch (thrown) {
    // As text only: hosts check structured content against the schema of results, also when it is none.
    const text = JSON.stringify({ error: toPyroError(thrown).toBody() })
    return { content: [{ type: 'text' as const, text }], isError: true }
  }
}

const messageOf = (progress: Progress): string =>
  progress.kind === 'output' ? progress.text : progressText(progress)
