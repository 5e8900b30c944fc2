/** What a repository may be named by: plain functions, for faces that load no schema library. */

/** As git tells them apart: a colon before the first slash makes an address. */
export const isPath = (repo: string): boolean => repo !== '' && !/^[^/]*:/.test(repo)

/** Of a network, or file: no transport that runs a command, nothing that git could take for an option. */
const URL_FORM = /^(https?|ssh|git|git\+ssh|ssh\+git|file):\/\/[^-]/i
/** [user@]host:path, as ssh takes it. */
const SHORT_FORM = /^([A-Za-z0-9._-]+@)?[A-Za-z0-9][A-Za-z0-9._-]*:[^:-]/

export function isCloneable(repo: string): boolean {
  if (/[\x00-\x1f\x7f]/.test(repo) || repo.startsWith('-') || repo.includes('::')) return false
  if (isPath(repo)) return repo.startsWith('/')
  if (!repo.includes('://')) return SHORT_FORM.test(repo)
  if (!URL_FORM.test(repo)) return false
  const url = URL.parse(repo)
  // What proves who asks of ssh lies in its agent and files; a password would show in lists of processes.
  return (
    url !== null && !(url.protocol.includes('ssh') && url.password !== '') && !url.hostname.startsWith('-')
  )
}

/** As git-check-ref-format wants a name, or a commit. */
export const isRef = (ref: string): boolean =>
  !/[\x00-\x20\x7f~^:?*[\\]/.test(ref) && !/^[-/]|\.\.|@\{|\/\/|\.lock$|[/.]$/.test(ref)
