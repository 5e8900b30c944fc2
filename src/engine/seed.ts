/** What a workspace begins with. */
import type { CallContext, CheckedInputOf } from '../contract/table.ts'
import type { LayerStore, Subject } from '../layer/store/store.ts'
import type { WorkspaceRow } from '../store/workspaces.ts'

/** What a workspace without a seed says of it. */
export const emptySeed = (): WorkspaceRow['seed'] => ({
  origin_kind: 'empty',
  origin_ref: null,
  head: null,
  files: 0,
  bytes: 0,
  skipped_count: 0,
  skipped: [],
})

/** Copies what the workspace is to begin with into its baseline. Costs the size of the seed. */
export async function laySeed(
  layers: LayerStore,
  of: Subject,
  { seed_path: source }: Pick<CheckedInputOf<'workspace_create'>, 'seed_path'>,
  { signal, progress }: CallContext,
): Promise<WorkspaceRow['seed']> {
  if (source === undefined) return emptySeed()
  const seeded = await layers.seed(of, source, {
    signal,
    onProgress: ({ files = 0 }) => progress({ kind: 'count', text: 'copying files', done: files }),
  })
  return {
    origin_kind: seeded.kind,
    origin_ref: source,
    head: seeded.head,
    files: seeded.files,
    bytes: seeded.bytes,
    skipped_count: seeded.skipped_count,
    skipped: seeded.skipped,
  }
}
