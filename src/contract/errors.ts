/**
 * What can go wrong, decided once. A code is stable and is part of the contract; its exit code, HTTP status and whether
 * the same call may succeed later are looked up here and nowhere else.
 */
export interface ErrorKind {
  /** Exit status of the CLI. */
  exit: number
  /** Status of the HTTP answer. */
  http: number
  /** Whether the same call may succeed when it is made again. */
  retryable: boolean
  /** What the code means, for the generated contract. */
  meaning: string
}

const usage = { exit: 2, http: 400, retryable: false }
const missing = { exit: 3, http: 404, retryable: false }
const conflict = { exit: 4, http: 409, retryable: false }
const unavailable = { exit: 5, http: 503, retryable: false }
const refused = { exit: 6, http: 422, retryable: false }

export const ERRORS = {
  invalid_input: { ...usage, meaning: 'A field is missing, unknown or out of its range.' },
  unknown_operation: { ...usage, http: 404, meaning: 'No operation has this name.' },
  path_outside_workspace: { ...usage, meaning: 'The path does not lie below /workspace.' },
  bad_cursor: { ...usage, meaning: 'The cursor lies beyond the end of the stream.' },
  workspace_not_found: { ...missing, meaning: 'No workspace has this id or name.' },
  environment_not_found: { ...missing, meaning: 'No environment has this name.' },
  job_not_found: { ...missing, meaning: 'The workspace has no job with this id.' },
  path_not_found: { ...missing, meaning: 'Nothing exists at the path inside the workspace.' },
  seed_not_found: { ...missing, meaning: 'The seed path does not exist on this machine.' },
  ref_not_found: { ...missing, meaning: 'The repository has no such branch, tag or commit.' },
  output_parent_missing: {
    ...missing,
    meaning: 'The folder that would hold the exported file does not exist.',
  },
  name_taken: { ...conflict, meaning: 'Another workspace has this name.' },
  environment_in_use: { ...conflict, meaning: 'Workspaces need what was to be removed.' },
  wrong_state: { ...conflict, meaning: "The workspace's state does not allow this operation." },
  output_exists: { ...conflict, meaning: 'The export target exists and overwriting was not asked for.' },
  output_unsuitable: {
    ...refused,
    meaning: "The export target cannot be written, or must not be: a device, the kernel's, Pyro's own state.",
  },
  stdin_closed: { ...conflict, meaning: 'The job takes no more input.' },
  job_ended: { ...conflict, meaning: 'The job has ended already.' },
  too_many_jobs: {
    ...conflict,
    retryable: true,
    meaning: 'The workspace runs as many commands at a time as it can.',
  },
  job_running: { ...conflict, meaning: 'The job has not ended.' },
  seed_bare: { ...refused, meaning: 'The seed path is a bare git repository, which has no files.' },
  git_failed: { ...refused, meaning: 'Git cannot read the repository that the seed is.' },
  seed_unsupported: {
    ...refused,
    meaning: 'The seed path is neither a directory nor an archive of a kind that is known.',
  },
  seed_unreadable: {
    ...refused,
    meaning: "This user may not read the seed path, or a stranger's link lies on the way to it.",
  },
  seed_invalid: { ...refused, meaning: 'The seed archive is damaged, or holds what no seed may.' },
  seed_overlap: { ...refused, meaning: "The seed path contains, or lies in, Pyro's own state." },
  seed_too_large: { ...refused, meaning: 'The seed has more entries or bytes than the limit.' },
  seed_changed: { ...refused, retryable: true, meaning: 'A file changed while it was being read.' },
  export_changed: { ...refused, retryable: true, meaning: 'A file changed while it was being exported.' },
  layer_invalid: { ...refused, meaning: 'A layer archive is damaged, or holds what no layer may.' },
  layer_too_large: { ...refused, meaning: 'A tree has more entries or bytes than the limit.' },
  layer_changed: { ...refused, retryable: true, meaning: 'A file changed while it was being packed.' },
  link_leaves: { ...refused, meaning: 'A symbolic link leads out of the workspace.' },
  not_exportable: { ...refused, meaning: 'What lies at the path is no file, directory or link.' },
  cwd_not_found: { ...refused, meaning: 'The working directory does not exist inside the workspace.' },
  user_not_found: { ...refused, meaning: 'The workspace has no such user.' },
  not_supported: { ...refused, meaning: 'This backend or environment does not offer that.' },
  unauthorized: { ...refused, http: 401, meaning: 'The bearer token is missing or wrong.' },
  forbidden: {
    ...refused,
    http: 403,
    meaning: 'The Host or the Origin of the request is not one that this engine answers over HTTP.',
  },
  local_only: {
    ...refused,
    http: 403,
    meaning: "The operation is answered on the engine's own machine only, over its unix socket.",
  },
  address_unavailable: { ...conflict, meaning: 'The address cannot be listened on.' },
  too_many_connections: {
    ...unavailable,
    retryable: true,
    meaning: 'The engine has as many connections over HTTP as it takes.',
  },
  home_unsuitable: {
    ...unavailable,
    meaning: 'PYRO_HOME lies on a file system that cannot hold overlay layers.',
  },
  backend_unavailable: {
    ...unavailable,
    meaning:
      'What was asked to run the workspace cannot do so on this machine, or not with this environment.',
  },
  runtime_missing: { ...unavailable, meaning: 'No usable OCI runtime was found.' },
  runtime_failed: {
    ...unavailable,
    retryable: true,
    meaning: 'The OCI runtime could not start the sandbox.',
  },
  tool_missing: { ...unavailable, meaning: 'A program of this machine that is needed is not installed.' },
  machine_failed: {
    ...unavailable,
    retryable: true,
    meaning: 'The virtual machine could not be started or ended.',
  },
  subids_missing: {
    ...unavailable,
    meaning: 'This user has no subordinate ids, or newuidmap is not installed.',
  },
  userns_denied: { ...unavailable, meaning: 'This machine does not let this user create a user namespace.' },
  package_missing: { ...unavailable, meaning: "This machine's package lists do not offer what this needs." },
  environment_damaged: {
    ...unavailable,
    meaning: 'What the cache holds of an environment is not what was built, or is gone.',
  },
  build_failed: {
    ...unavailable,
    retryable: true,
    meaning: 'A part of an environment could not be downloaded or built; what had begun was undone.',
  },
  native_missing: { ...unavailable, meaning: 'The native binary is missing or does not match.' },
  repo_unreachable: {
    ...unavailable,
    retryable: true,
    meaning: 'The repository could not be cloned.',
  },
  disk_full: { ...unavailable, exit: 7, http: 507, meaning: 'The disk is full; what had begun was undone.' },
  guest_unreachable: { ...unavailable, retryable: true, meaning: 'The sandbox does not answer.' },
  engine_unreachable: {
    ...unavailable,
    retryable: true,
    meaning: 'The engine could not be started or reached.',
  },
  engine_stopping: { ...unavailable, retryable: true, meaning: 'The engine is stopping.' },
  engine_busy: { ...unavailable, meaning: 'Workspaces are running, so the engine was not stopped.' },
  cancelled: {
    exit: 130,
    http: 499,
    retryable: true,
    meaning: 'The caller went away or interrupted the call.',
  },
  timed_out: { exit: 124, http: 504, retryable: true, meaning: 'A step did not finish within its bound.' },
  io_error: {
    exit: 70,
    http: 500,
    retryable: true,
    meaning: 'The operating system refused a file operation.',
  },
  internal: {
    exit: 70,
    http: 500,
    retryable: false,
    meaning: 'A fault in Pyro itself; its log has the details.',
  },
} as const satisfies Record<string, ErrorKind>

export type ErrorCode = keyof typeof ERRORS

/** An error as every face shows it. */
export interface ErrorBody {
  code: ErrorCode
  message: string
  /** What to do next, where something can be done. */
  hint?: string
  retryable: boolean
}

export interface PyroErrorOptions {
  hint?: string | undefined
  cause?: unknown
}

export class PyroError extends Error {
  readonly code: ErrorCode
  readonly hint: string | undefined
  readonly retryable: boolean

  constructor(code: ErrorCode, message: string, options: PyroErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.name = 'PyroError'
    this.code = code
    this.hint = options.hint
    this.retryable = ERRORS[code].retryable
  }

  toBody(): ErrorBody {
    const body: ErrorBody = { code: this.code, message: this.message, retryable: this.retryable }
    return this.hint === undefined ? body : { ...body, hint: this.hint }
  }
}

export function isErrorCode(code: unknown): code is ErrorCode {
  return typeof code === 'string' && Object.hasOwn(ERRORS, code)
}

/** Any thrown value as an error of the contract; what is not one of ours becomes `disk_full` or `internal`. */
export function toPyroError(thrown: unknown): PyroError {
  if (thrown instanceof PyroError) return thrown
  const error = thrown as { code?: unknown; errcode?: unknown; message?: unknown } | null
  const full = error?.code === 'ENOSPC' || error?.code === 'EDQUOT' || error?.errcode === 13
  const message = String(error?.message ?? thrown)
  if (full)
    return new PyroError('disk_full', `The disk is full: ${message}`, {
      hint: 'Free some space and try again.',
      cause: thrown,
    })
  if (error?.code === 'EIO')
    return new PyroError('io_error', `Input/output error: ${message}`, { cause: thrown })
  if (error?.code === 'ABORT_ERR')
    return new PyroError('cancelled', 'The call was cancelled.', { cause: thrown })
  return new PyroError('internal', message, { hint: 'See engine.log in PYRO_HOME.', cause: thrown })
}
