/**
 * Every record that the engine writes on the way of an operation, by name. Each is a place where the engine may die or
 * the disk may be full; `PYRO_FAULT=name:kill|enospc|eio` makes it happen there, and a test does so for all of them.
 */
export const FAULT_POINTS = [
  'holder.intent',
  'holder.outcome',
  'create.intent',
  'create.seeded',
  'create.mounted',
  'create.started',
  'create.outcome',
  'create.undone',
  'exec.intent',
  'exec.outcome',
  'exec.undone',
  'update.outcome',
  'export.intent',
  'export.outcome',
  'stop.intent',
  'stop.outcome',
  'start.intent',
  'start.started',
  'start.outcome',
  'start.undone',
  'expire.intent',
  'expire.reported',
  'delete.intent',
  'delete.stopped',
  'delete.removed',
  'delete.outcome',
  'adopt.outcome',
  'end.outcome',
  'listen.outcome',
  'listen.off',
  'token.outcome',
] as const

export type FaultPoint = (typeof FAULT_POINTS)[number]

type Kind = 'kill' | 'enospc' | 'eio'
const CODES = { enospc: ['ENOSPC', 'no space left on device'], eio: ['EIO', 'input/output error'] } as const

export interface Faults {
  /** Before the record is written: the disk may be full. */
  before: (point: FaultPoint) => void
  /** After it is written: the engine may be killed. */
  after: (point: FaultPoint) => void
}

/** @throws when the setting names a fault point or a kind that does not exist. */
export function parseFaults(setting: string | undefined): Faults {
  if (!setting) return { before: () => {}, after: () => {} }
  const [name, kind] = setting.split(':') as [FaultPoint, Kind]
  if (!FAULT_POINTS.includes(name) || !['kill', 'enospc', 'eio'].includes(kind))
    throw new Error(
      `PYRO_FAULT=${setting}: expected name:kill|enospc|eio with one of ${FAULT_POINTS.join(', ')}`,
    )
  return {
    before(point) {
      if (point !== name || kind === 'kill') return
      const [code, text] = CODES[kind]
      throw Object.assign(new Error(`${code}: ${text} (asked for at ${point})`), { code })
    },
    after(point) {
      if (point === name && kind === 'kill') process.kill(process.pid, 'SIGKILL')
    },
  }
}
