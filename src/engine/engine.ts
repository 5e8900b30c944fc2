/** What every part of the engine is given: plain arguments, made in one place (src/wiring). */
import type { Backend, DiskMedium } from '../backend/backend.ts'
import type { Guest } from '../channel/guest.ts'
import type { Guests } from '../channel/guests.ts'
import type { JobStatus } from '../channel/messages.ts'
import type { DeletionReport } from '../contract/operations/workspace_delete.ts'
import type { Catalogue } from '../environment/catalogue.ts'
import type { GuestImages } from '../environment/guest.ts'
import type { HandService } from '../hand/index.ts'
import type { LayerStore, Subject } from '../layer/store/store.ts'
import type { ExpiredTable } from '../store/expired.ts'
import type { ExportTable } from '../store/exports.ts'
import type { JobTable } from '../store/jobs.ts'
import type { Ranges } from '../store/ranges.ts'
import type { WorkspaceRow, WorkspaceTable } from '../store/workspaces.ts'
import type { Listening } from './listen.ts'
import type { Journal } from './journal.ts'
import type { Queues } from './queue.ts'

/** What can run a workspace, each with the store of layers that goes with it. */
export interface Backends {
  all: Backend[]
  of: (row: Pick<WorkspaceRow, 'backend'>) => Backend
  layersOf: (row: Pick<WorkspaceRow, 'backend'>) => LayerStore
}

/** Lends the guest that has a workspace's disks. */
export interface Lender {
  withGuest: <T>(
    of: Subject,
    inspect: () => Promise<DiskMedium>,
    use: (guest: Guest) => Promise<T>,
  ) => Promise<T>
  /** Ends the machine that reads this workspace's disks, if there is one. */
  end: (id: string) => Promise<void>
  endAll: () => Promise<void>
}

/** Stops and deletes workspaces that have lived long enough. */
export interface Lifetimes {
  /** Looks what is due, and when the next is: after anything that may have made that sooner. */
  look: () => void
  /** Whether one of them has to be looked after, though none runs. */
  pending: () => boolean
  stop: () => void
}

export interface Engine {
  home: string
  /** What can be built again. */
  cache: string
  /** The native binary. */
  native: string
  socket: string
  version: string
  startedAt: number
  workspaces: WorkspaceTable
  ranges: Ranges
  jobs: JobTable<JobStatus>
  exports: ExportTable
  expired: ExpiredTable<DeletionReport>
  record: Journal
  queues: Queues
  /** The native binary. */
  binary: string
  hand: HandService
  backends: Backends
  guests: Guests
  lender: Lender
  lifetimes: Lifetimes
  environments: Catalogue
  guestImages: GuestImages
  listening: Listening
  log: (event: string, fields?: Record<string, unknown>) => void
  /** Ends the engine after the answer under way; workspaces go on. */
  requestStop: (options: { holder: boolean }) => void
}

export const iso = (ms: number): string => new Date(ms).toISOString()
