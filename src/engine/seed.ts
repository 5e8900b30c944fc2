/** What a workspace begins with. */
import type { CallContext, CheckedInputOf, Progress } from '../contract/table.ts'
import type { HandProgress } from '../hand/protocol.ts'
import type { LayerStore, Subject } from '../layer/store/store.ts'
import type { WorkspaceRow } from '../store/workspaces.ts'
import type { Engine } from './engine.ts'

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

/** Refuses what can be no seed, before anything is made. */
export async function checkSeed(
  { hand, home }: Pick<Engine, 'hand' | 'home'>,
  { seed_path: source }: Pick<CheckedInputOf<'workspace_create'>, 'seed_path'>,
): Promise<void> {
  if (source !== undefined) await hand.call('seed_look', { source, apart: [home] })
}

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
    onProgress: (said) => progress(sayProgress(said)),
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

const MIB = 1024 ** 2

/** An archive's end is known by its file; how many files a directory holds, only when they are copied. */
function sayProgress({ files = 0, read, total }: HandProgress): Progress {
  if (read === undefined || total === undefined) return { kind: 'count', text: 'copying files', done: files }
  const mib = (bytes: number) => Math.ceil(bytes / MIB)
  return { kind: 'count', text: `unpacking (${files} files), MiB read:`, done: mib(read), total: mib(total) }
}
