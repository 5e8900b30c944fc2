/** What is wanted is taken out, by name and nothing else. */
import { posix } from 'node:path'
import { PyroError } from '../contract/errors.ts'
import type { CallContext, CheckedInputOf, OutputOf } from '../contract/table.ts'
import type { Taken } from '../layer/store/store.ts'
import { signOfLife } from './clock.ts'
import type { Engine } from './engine.ts'
import { openLayers, subject } from './layers.ts'
import { requireState } from './states.ts'
import { inTurn } from './turn.ts'

/** A path inside as one relative to /workspace. @throws path_outside_workspace */
export function insideWorkspace(path: string): string {
  const absolute = posix.resolve('/workspace', path)
  if (path.includes('\0') || (absolute !== '/workspace' && !absolute.startsWith('/workspace/')))
    throw new PyroError('path_outside_workspace', `${JSON.stringify(path)} is not below /workspace.`, {
      hint: 'Only what lies below /workspace can be exported; copy it there first.',
    })
  return posix.relative('/workspace', absolute) || '.'
}

export async function exportPath(
  engine: Engine,
  input: CheckedInputOf<'workspace_export'>,
  { signal }: CallContext,
): Promise<OutputOf<'workspace_export'>> {
  const path = insideWorkspace(input.path)
  return inTurn(engine, input.workspace_id, async (row) => {
    const { id } = row
    requireState(row, 'running', 'stopped', 'failed')
    await openLayers(engine, row)
    const { output_path: output, overwrite } = input
    const entry = engine.record('export.intent', () => engine.exports.begin(id, path, output, Date.now()))
    let done: Taken
    try {
      done = await engine.backends.layersOf(row).read(subject(row), { path, output, overwrite, signal })
    } catch (error) {
      engine.exports.forget(entry)
      throw error
    }
    try {
      engine.record('export.outcome', () => {
        engine.exports.finish(entry, Date.now())
        engine.workspaces.touch(id, signOfLife())
      })
    } catch (error) {
      // The files are out; what is not recorded will only be called "never exported" once more.
      engine.log('export.unrecorded', { workspace: id, error: String(error) })
    }
    return { workspace_id: id, path: posix.join('/workspace', path), output_path: output, ...done }
  })
}
