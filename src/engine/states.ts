/** The states of a workspace and the only ways between them. */
import { PyroError } from '../contract/errors.ts'
import type { Workspace } from '../contract/fields.ts'

export type State = Workspace['state']

const NEXT: Record<State, readonly State[]> = {
  creating: ['running', 'deleting'],
  running: ['stopping', 'stopped', 'failed', 'deleting'],
  stopping: ['stopped', 'deleting'],
  stopped: ['starting', 'deleting'],
  starting: ['running', 'stopped', 'deleting'],
  failed: ['starting', 'deleting'],
  deleting: ['deleting'],
}

export function mayBecome(from: State, to: State): boolean {
  return NEXT[from].includes(to)
}

/** @throws wrong_state unless the workspace is in one of the states. */
export function requireState(
  workspace: { id: string; state: State; reason: string | null },
  ...allowed: State[]
): void {
  if (allowed.includes(workspace.state)) return
  const why = workspace.reason ? ` (${workspace.reason})` : ''
  throw new PyroError(
    'wrong_state',
    `Workspace ${workspace.id} is ${workspace.state}${why}; this needs ${allowed.join(' or ')}.`,
    {
      hint:
        workspace.state === 'stopped' || workspace.state === 'failed'
          ? `Start it again with: pyro workspace start ${workspace.id}. Its files and logs can be read as it is.`
          : 'Wait for the operation that is under way.',
    },
  )
}
