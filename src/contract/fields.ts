/** The nouns that several operations share: each field is described once, here. */
import { z } from 'zod'

export const WORKSPACE_ID = /^ws-[0-9a-hjkmnp-tv-z]{10}$/
export const workspaceRef = z.string().min(1).max(64).describe('Workspace id, or its name.')

export const workspaceName = z
  .string()
  .regex(/^[a-z0-9][a-z0-9._-]{0,62}$/, 'lower-case letters, digits, ".", "_" and "-", 63 at most')
  .refine((name) => !WORKSPACE_ID.test(name), 'must not look like a workspace id')
  .describe('Name, unique among workspaces; usable instead of the id.')

const labelKey = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._/-]{0,62}$/, 'letters, digits and "._/-", 63 at most')
export const labels = z
  .record(labelKey, z.string().max(256))
  .refine((all) => Object.keys(all).length <= 64, '64 labels at most')
  .describe('Labels, KEY=VALUE.')
export const labelKeys = z.array(labelKey).max(64)

/**
 * A path of at most PATH_MAX bytes with its closing NUL (limits.h). A name that is not UTF-8 cannot be said: what decoded it
 * put U+FFFD or half a pair in its place, and another file would be meant.
 */
const somePath = z
  .string()
  .min(1)
  .refine((path) => Buffer.byteLength(path) <= 4095, 'must be 4095 bytes at most')
  .refine((path) => path.isWellFormed() && !path.includes('\ufffd'), 'must be UTF-8 text')

export const hostPath = somePath.refine(
  (path) => path.startsWith('/') && !path.includes('\0'),
  'must be an absolute path',
)

/** Below /workspace; what leads out is path_outside_workspace. */
export const insidePath = somePath

const text = (most: number) =>
  z
    .string()
    .max(most)
    .refine((value) => !value.includes('\0'), 'must hold no NUL')

export const environmentName = z.string().min(1).max(128).describe('Environment, e.g. "host"; see env list.')

export const environmentState = z
  .enum(['cold', 'warm', 'stale', 'damaged', 'unavailable'])
  .describe(
    'cold: built at first use. warm: built, as it would be now. stale: built, and would differ now; env pull renews it. ' +
      'damaged: not what was built; env pull mends it. unavailable: cannot be built here.',
  )
export const environmentUser = z.object({
  workspace_id: z.string(),
  name: z.string().nullable().describe('null: it has none, or belongs to another home.'),
  home: z.string().describe('PYRO_HOME that it belongs to.'),
})

export const command = z
  .union([text(131_072).min(1), z.array(text(131_072)).min(1).max(4096)])
  .describe('A list is run as it is (argv); a string is run by /bin/sh -c.')

export const variables = z
  .record(z.string().regex(/^[A-Za-z_][A-Za-z0-9_]*$/, 'must be a variable name'), text(131_072))
  .describe('Environment variables, NAME=VALUE.')

export const cwd = text(4096)
  .refine((path) => path.startsWith('/'), 'must be an absolute path')
  .describe('Working directory inside the workspace.')

export const limits = {
  vcpu_count: z
    .int()
    .min(1)
    .max(256)
    .optional()
    .describe('CPUs it may use. Default: those of this machine, 4 at most.'),
  mem_mib: z
    .int()
    .min(64)
    .max(1_048_576)
    .optional()
    .describe('Memory limit in MiB. Default: half of this machine, 4096 at most.'),
  pids_limit: z
    .int()
    .min(16)
    .max(131_072)
    .optional()
    .describe('Processes and threads at a time. Default: 4096.'),
  disk_mib: z
    .int()
    .min(64)
    .max(16_777_216)
    .optional()
    .describe(
      'MiB that everything written inside may take. Default: 16384 in a machine, no limit in a container.',
    ),
}

export const BACKENDS = ['oci', 'qemu', 'firecracker'] as const
export const ISOLATIONS = ['container', 'machine'] as const

export const placement = {
  backend: z
    .enum(['auto', ...BACKENDS])
    .default('auto')
    .describe(
      'What runs it. auto: a machine where KVM works and the environment can be one, else a container; emulation only by name.',
    ),
  isolation: z
    .enum(ISOLATIONS)
    .optional()
    .describe('Refuse anything weaker or other than this: a machine with its own kernel, or a container.'),
}

/** The engine's API on a TCP address, beside its unix socket. */
export const listener = z.object({
  listening: z.boolean(),
  url: z.string().nullable().describe('What PYRO_URL is set to; null: HTTP is off.'),
  mcp_url: z.string().nullable().describe('Where MCP is spoken (streamable HTTP), with the same token.'),
  allowed_hosts: z
    .array(z.string())
    .describe('Names that a Host header may hold, beside those of loopback and the address itself.'),
  allowed_origins: z.array(z.string()).describe('Origins of web pages that may ask.'),
  error: z.string().nullable().describe('Why nothing listens although it should.'),
})
export type Listener = z.infer<typeof listener>

export const waitMs = z.int().min(0).max(45_000)
export const timeoutSeconds = z
  .number()
  .positive()
  .max(604_800)
  .optional()
  .describe('End the whole process tree after so many seconds. Default: no limit.')

/** A year; timers and dates stay far from their ends. */
const seconds = z.int().min(1).max(31_536_000)

/** How long a workspace lives. */
export const lifetimes = {
  ttl_seconds: seconds
    .optional()
    .describe(
      'Delete it so many seconds from now, also while a command runs; what was never exported is said in workspace list --expired. Default: never.',
    ),
  idle_seconds: seconds
    .optional()
    .describe(
      'Stop it after so many seconds in which no command ran; its files stay. Time in which this machine sleeps does not count. Default: never.',
    ),
}

export const instant = z.string().describe('UTC, ISO 8601.')

/** Part of a stream. A reader goes on from `cursor`. */
export const streamChunk = z.object({
  data: z.string().describe('The bytes, by `encoding`.'),
  encoding: z.enum(['utf-8', 'base64']).describe('base64 where the bytes are not UTF-8 text.'),
  cursor: z.int().describe('Byte offset that follows the data.'),
  end: z.int().describe('Byte offset that follows the last byte written so far.'),
  dropped: z.int().describe('Bytes between the cursor asked for and the data that are no longer kept.'),
  eof: z.boolean().describe('Nothing will follow the data.'),
})
export type StreamChunk = z.infer<typeof streamChunk>

export const streamPosition = streamChunk.pick({ cursor: true, dropped: true, eof: true })

export const WORKSPACE_STATES = [
  'creating',
  'running',
  'stopping',
  'stopped',
  'starting',
  'failed',
  'deleting',
] as const

export const workspace = z.object({
  workspace_id: z.string(),
  name: z.string().nullable(),
  labels: z.record(z.string(), z.string()),
  state: z.enum(WORKSPACE_STATES),
  state_reason: z.string().nullable().describe('Why it is stopped or failed.'),
  environment: z.string(),
  backend: z.enum(BACKENDS).describe('What runs it.'),
  isolation: z
    .enum(ISOLATIONS)
    .describe('container: shares the kernel of this machine; machine: has a kernel of its own.'),
  execution_mode: z.string().describe('How commands reach the sandbox.'),
  limits: z.object({
    enforcement: z.enum(['full', 'partial']).describe('partial: no cgroup could be used; see notes.'),
    vcpu_count: z.int(),
    mem_mib: z.int(),
    pids_limit: z.int(),
    disk_mib: z.int().nullable().describe('Everything written inside, at most; null: no limit of its own.'),
    notes: z.array(z.string()),
  }),
  network_policy: z.enum(['off']),
  workspace_seed: z.object({
    origin_kind: z
      .enum(['empty', 'directory', 'git', 'archive', 'repository'])
      .describe('repository: it was cloned.'),
    origin_ref: z.string().nullable().describe('Host path or address it came from.'),
    head: z.string().nullable().describe('Commit of a git tree.'),
    branch: z.string().nullable().describe('Branch of a git tree; null where none is checked out.'),
    ref: z.string().nullable().describe('What was asked for of a repository.'),
    shallow: z.boolean().describe('Its history was cut off where it came from, and is here.'),
    partial: z.boolean().describe('Objects that were not fetched where it came from are not here either.'),
    files: z.int(),
    bytes: z.int(),
    skipped_count: z.int(),
    skipped: z
      .array(z.object({ path: z.string(), reason: z.string() }))
      .describe('What was left out because it cannot be read or is no file, directory or link; 200 at most.'),
  }),
  created_at: instant,
  last_activity_at: instant,
  expires_at: instant.nullable().describe('When it will be deleted; null: never.'),
  idle_seconds: z.int().nullable().describe('It is stopped after so many seconds without life; null: never.'),
  idle_stops_at: instant
    .nullable()
    .describe('When it will be stopped if nothing happens; null where it never is, or something runs.'),
  command_count: z.int(),
  running_job_count: z.int(),
})
export type Workspace = z.infer<typeof workspace>

/** A command's life, as of the answer. */
export const job = z.object({
  workspace_id: z.string(),
  job_id: z.string(),
  sequence: z.int().describe('Place in the history of the workspace, from 1.'),
  command: z.union([z.string(), z.array(z.string())]),
  cwd: z.string(),
  state: z
    .enum(['running', 'exited', 'lost'])
    .describe('lost: the sandbox ended before its result was known.'),
  exit_code: z.int().nullable(),
  signal: z.string().nullable().describe('Signal that ended it, e.g. SIGKILL.'),
  timed_out: z.boolean(),
  started_at: instant,
  duration_ms: z.number(),
  cpu_ms: z.number().describe('User and system time of its process tree.'),
  peak_memory_bytes: z.int().describe('Largest resident set of one of its processes.'),
  survivors: z.int().describe('Processes of it still alive after its main process ended.'),
  execution_mode: z.string(),
})
export type Job = z.infer<typeof job>

/** A command with its first output. */
export const execResult = job.extend({
  stdout: z.string().describe('Text from the start of the stream; invalid UTF-8 is replaced.'),
  stderr: z.string(),
  stdout_stream: streamPosition.describe('Where to go on reading with workspace_job_read.'),
  stderr_stream: streamPosition,
})
export type ExecResult = z.infer<typeof execResult>

const fits = (text: string) => Buffer.byteLength(text) <= 1_048_576

/** Everything but the workspace that a command line, a tool or a program says about a command. */
export const commandFields = {
  command,
  cwd: cwd.default('/workspace'),
  env: variables.default({}),
  user: z.string().max(64).default('root').describe('User inside: a name, a uid, or uid:gid.'),
  timeout_seconds: timeoutSeconds,
  stdin: z
    .string()
    .max(1_048_576)
    .refine(fits, '1 MiB at most')
    .optional()
    .describe('Text given to its standard input, 1 MiB at most.'),
  stdin_open: z.boolean().default(false).describe('Keep standard input open for workspace_job_write.'),
  wait_ms: waitMs
    .default(45_000)
    .describe('Answer after so many milliseconds even if it still runs (state "running").'),
  max_output_bytes: z
    .int()
    .min(0)
    .max(1_048_576)
    .default(65_536)
    .describe('Most bytes of each stream in the answer.'),
  spool_bytes: z
    .int()
    .min(65_536)
    .max(1_073_741_824)
    .default(33_554_432)
    .describe('Bytes of each stream that are kept for later readers; the oldest are dropped.'),
  attach: z
    .boolean()
    .default(false)
    .describe(
      'The caller will read the output as it comes: while it does, the command waits rather than lose output.',
    ),
}
