/**
 * How the SDK's names and the contract's relate, as plain data: the SDK loads neither the table nor a schema library.
 * test/contract compares every line with the contract.
 */
import type { OperationName, Operations } from '../../contract/table.ts'

type MethodName = Operations[OperationName]['sdk']

export const METHODS = {
  listEnvironments: 'env_list',
  pullEnvironment: 'env_pull',
  inspectEnvironment: 'env_inspect',
  pruneEnvironments: 'env_prune',
  prepareEnvironment: 'prepare',
  runInVm: 'run',
  createWorkspace: 'workspace_create',
  listWorkspaces: 'workspace_list',
  statusWorkspace: 'workspace_status',
  updateWorkspace: 'workspace_update',
  execWorkspace: 'workspace_exec',
  readJob: 'workspace_job_read',
  listJobs: 'workspace_job_list',
  writeJob: 'workspace_job_write',
  killJob: 'workspace_job_kill',
  logsWorkspace: 'workspace_logs',
  exportWorkspace: 'workspace_export',
  stopWorkspace: 'workspace_stop',
  startWorkspace: 'workspace_start',
  deleteWorkspace: 'workspace_delete',
  doctor: 'doctor',
  demo: 'demo',
  statusDaemon: 'daemon_status',
  stopDaemon: 'daemon_stop',
  listenDaemon: 'daemon_listen',
  tokenDaemon: 'daemon_token',
} as const satisfies Record<MethodName, OperationName>

/** Operations that only read: they are asked again when the engine went away before it answered. */
export const READ_ONLY: ReadonlySet<string> = new Set<OperationName>([
  'env_list',
  'env_inspect',
  'workspace_list',
  'workspace_status',
  'workspace_job_read',
  'workspace_job_list',
  'workspace_logs',
  'doctor',
  'daemon_status',
])

/** Fields that hold the caller's own keys, which stay as they are. */
export const MAPS: ReadonlySet<string> = new Set(['labels', 'env'])

/** Fields that name a path on this machine: relative ones are meant from the caller's working directory. */
export const HOST_PATHS = ['seed_path', 'output_path'] as const

export const toCamel = (name: string): string =>
  name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase())
export const toSnake = (name: string): string =>
  name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)

export const camelKeys = (value: unknown): unknown => renameKeys(value, toCamel)
export const snakeKeys = (value: unknown): unknown => renameKeys(value, toSnake)

function renameKeys(value: unknown, rename: (name: string) => string): unknown {
  if (Array.isArray(value)) return value.map((item) => renameKeys(item, rename))
  if (value === null || typeof value !== 'object') return value
  const renamed: Record<string, unknown> = {}
  for (const [key, inner] of Object.entries(value)) {
    if (inner !== undefined) renamed[rename(key)] = MAPS.has(key) ? inner : renameKeys(inner, rename)
  }
  return renamed
}
