/** What a build says of itself: manifest.json beside its root, written by native/rootfs/manifest.go. */
import { readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { z } from 'zod'
import type { BuildRecord } from './environment.ts'

const digest = z.string().regex(/^sha256:[0-9a-f]{64}$/)
const manifest = z.object({
  made_at: z.number(),
  snapshot: z.array(
    z.object({
      codename: z.string(),
      date: z.string(),
      sha256: z.string(),
      file: z.string().regex(/^[^/\0]{1,255}$/),
    }),
  ),
  packages: z.array(z.object({ name: z.string(), version: z.string(), architecture: z.string() })),
  tree: z.object({ diff_id: digest, metadata: digest, entries: z.int(), bytes: z.int() }),
})

/** Name of the folder's current build; null where there is none. */
export function currentId(folder: string): string | null {
  try {
    const id = readlinkSync(join(folder, 'current'))
    return /^[0-9a-f]{1,64}$/.test(id) ? id : null
  } catch {
    return null
  }
}

/** Null where it cannot be read or is not what it was named after: what is there is no build of ours. */
export function readRecord(folder: string, id: string): BuildRecord | null {
  const dir = join(folder, id)
  try {
    const { made_at, snapshot, packages, tree } = manifest.parse(
      JSON.parse(readFileSync(join(dir, 'manifest.json'), 'utf8')),
    )
    if (!tree.diff_id.startsWith(`sha256:${id}`)) return null
    const { diff_id: checksum, entries, bytes } = tree
    return { id, dir, made_at, checksum, entries, bytes, packages, snapshot }
  } catch {
    return null
  }
}
