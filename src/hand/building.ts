/** What the hand builds of packages and keeps in the cache. Mirrors native/rootfs and native/guestimage. */
import type { Entries, Idmap, Made } from './shapes.ts'

export interface BuildOperations {
  /** A read-only image of a directory; with `ids`, those on disk stand for 0 and up in it. */
  erofs: [{ source: string; output: string; ids: Idmap | null }, Made & { bytes: number; sha256: string }]
  /** A Debian installed by mmdebstrap: a new build below `folder` unless one is current that is not to be replaced. */
  debian_root: [
    {
      /** What it is called in its manifest. */
      environment: string
      folder: string
      /** Name of a build that shall not stay the current one; '' for none. */
      replace: string
      /** When that was made, in milliseconds since the epoch; 0 where it does not say. */
      replace_made_at: number
      /** 0 and up inside, as ids of the holder's namespace; null: those of this machine. */
      ids: Idmap | null
      suite: string
      variant: string
      packages: string[]
      /** Lines of a sources.list. */
      sources: string[]
      /** A file of apt.conf, for the build alone. */
      settings: string
      /** NAME=VALUE, for the build alone. */
      env: string[]
      /** Seconds since 1970 that everything the build itself writes is dated. */
      epoch: number
      /** Run by a shell at the end, with the root as $1. */
      commands: string[]
      extra: Entries
      remove: string[]
    },
    Made & { id: string },
  ]
  /** Keeps a build as long as the workspace's folder `dir` exists; `there` is false where the build does not. */
  build_use: [{ build: string; name: string; dir: string }, { there: boolean }]
  /** What is wrong with a build; with `full` its content is read, else names and attributes only. */
  build_check: [{ build: string; ids: Idmap | null; full: boolean }, { damage: string | null }]
  /** Removes a build that no workspace needs; the name of a user is its id, "@" and a digest of its folder. */
  build_remove: [
    { build: string; dry_run: boolean },
    { removed: boolean; users: { name: string; dir: string }[]; bytes: number },
  ]
  /** Removes what makers and removers that were killed left in a folder of builds. */
  builds_sweep: [{ folder: string; dry_run: boolean }, { bytes: number }]
  /** A kernel package, downloaded by apt and taken apart: vmlinux, modules/*.ko and their lists. */
  guest_kernel: [
    {
      package: string
      version: string
      sha256: string
      arch: string
      output: string
      lists: { file: string; modules: string[] }[]
      env: string[]
    },
    Made,
  ]
  /** vmlinux, initramfs and manifest.json, from what `guest_kernel` made and a binary. */
  guest_images: [
    { kernel: string; binary: string; binary_sha256: string; output: string; manifest: string },
    Made,
  ]
}
