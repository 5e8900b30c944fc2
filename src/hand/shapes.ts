/** Shapes that several operations of the hand share. */
export interface Owner {
  uid: number
  gid: number
}
export interface Idmap {
  /** First id on this machine that stands for 0 on disk. */
  base: number
  size: number
}
/** Entries of a tree, by paths below it. */
export interface Entries {
  dirs: { path: string; mode: number }[]
  links: { path: string; target: string }[]
  files: { path: string; mode: number; content: string }[]
  copies: { from: string; to: string }[]
}
/** What lies there now was made by this call, or was there. */
export interface Made {
  made: boolean
}
