/** What a workspace begins with. */
import { join } from 'node:path'
import { PyroError } from '../contract/errors.ts'
import type { CallContext, CheckedInputOf, Progress } from '../contract/table.ts'
import type { HandProgress } from '../hand/protocol.ts'
import { layerPaths } from '../layer/stack.ts'
import type { LayerStore, SeedSource, Subject } from '../layer/store/store.ts'
import type { WorkspaceRow } from '../store/workspaces.ts'
import { cloneRepository, withoutSecrets } from './clone.ts'
import type { Engine } from './engine.ts'

type SeedInput = Pick<CheckedInputOf<'workspace_create'>, 'seed_path' | 'seed_all' | 'repo' | 'ref'>

/** What a workspace without a seed says of it. */
export const emptySeed = (): WorkspaceRow['seed'] => ({
  origin_kind: 'empty',
  origin_ref: null,
  head: null,
  branch: null,
  ref: null,
  shallow: false,
  partial: false,
  files: 0,
  bytes: 0,
  skipped_count: 0,
  skipped: [],
})

export const isSeeded = ({ seed_path, repo }: SeedInput): boolean =>
  seed_path !== undefined || repo !== undefined

/** Refuses what can be no seed, before anything is made. @throws invalid_input for what means nothing together. */
export async function checkSeed(
  { hand, home }: Pick<Engine, 'hand' | 'home'>,
  { seed_path, seed_all, repo, ref }: SeedInput,
): Promise<void> {
  const refuse = (message: string, hint: string) => {
    throw new PyroError('invalid_input', message, { hint })
  }
  if (seed_path !== undefined && repo !== undefined)
    refuse(
      'A workspace begins with a directory or with a repository, not both.',
      'Leave out seed_path or repo.',
    )
  if (ref !== undefined && repo === undefined)
    refuse(
      'There is no repository that ref could be of.',
      'Name it with repo; a directory is taken as it is.',
    )
  if (seed_all === true && seed_path === undefined)
    refuse('There is no directory of which all could be taken.', 'Name it with seed_path.')
  if (seed_path !== undefined) await hand.call('seed_look', { source: seed_path, apart: [home] })
}

/** Copies what the workspace is to begin with into its baseline. Costs the size of the seed. */
export async function laySeed(
  engine: Engine,
  layers: LayerStore,
  of: Subject,
  { seed_path, seed_all, repo, ref }: SeedInput,
  { signal, progress }: CallContext,
): Promise<WorkspaceRow['seed']> {
  const lay = (source: SeedSource) =>
    layers.seed(of, source, {
      signal,
      onProgress: (said) => progress(sayProgress(said)),
    })
  if (repo !== undefined) {
    const path = join(layerPaths(engine.home, of.id).dir, 'clone')
    await cloneRepository({ binary: engine.binary, repo, ref, path }, { signal, progress })
    const seeded = await lay({ path, take: true })
    await engine.hand.call('remove', { path })
    return {
      ...seedView(seeded),
      origin_kind: 'repository',
      origin_ref: withoutSecrets(repo),
      ref: ref ?? null,
    }
  }
  if (seed_path === undefined) return emptySeed()
  const seeded = await lay({ path: seed_path, all: seed_all ?? false })
  return { ...seedView(seeded), origin_kind: seeded.kind, origin_ref: seed_path }
}

function seedView(seeded: Awaited<ReturnType<LayerStore['seed']>>): WorkspaceRow['seed'] {
  const { head, ref, shallow, partial, files, bytes, skipped_count, skipped } = seeded
  const branch = ref?.replace(/^refs\/heads\//, '') ?? null
  return { ...emptySeed(), head, branch, shallow, partial, files, bytes, skipped_count, skipped }
}

const MIB = 1024 ** 2

/** An archive's end is known by its file; how many files a directory holds, only when they are copied. */
function sayProgress({ files = 0, read, total }: HandProgress): Progress {
  if (read === undefined || total === undefined) return { kind: 'count', text: 'copying files', done: files }
  const mib = (bytes: number) => Math.ceil(bytes / MIB)
  return { kind: 'count', text: `unpacking (${files} files), MiB read:`, done: mib(read), total: mib(total) }
}
