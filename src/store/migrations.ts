import type { DatabaseSync } from 'node:sqlite'

/** Steps from an empty file to the present schema; a step that was released never changes. */
const STEPS = [
  `CREATE TABLE workspaces (
     id TEXT PRIMARY KEY,
     name TEXT UNIQUE,
     state TEXT NOT NULL,
     reason TEXT,
     environment TEXT NOT NULL,
     labels TEXT NOT NULL,
     limits TEXT NOT NULL,
     seed TEXT NOT NULL,
     slot INTEGER NOT NULL UNIQUE,
     sandbox TEXT,
     ephemeral INTEGER NOT NULL,
     created_at INTEGER NOT NULL,
     activity_at INTEGER NOT NULL
   ) STRICT;
   CREATE TABLE jobs (
     workspace_id TEXT NOT NULL REFERENCES workspaces(id) ON DELETE CASCADE,
     sequence INTEGER NOT NULL,
     id TEXT NOT NULL,
     command TEXT NOT NULL,
     cwd TEXT NOT NULL,
     state TEXT NOT NULL,
     status TEXT,
     started_at INTEGER NOT NULL,
     PRIMARY KEY (workspace_id, sequence),
     UNIQUE (workspace_id, id)
   ) STRICT;
   CREATE INDEX jobs_running ON jobs(workspace_id) WHERE state = 'running';
   CREATE TABLE exports (
     workspace_id TEXT NOT NULL REFERENCES workspaces(id) ON DELETE CASCADE,
     path TEXT NOT NULL,
     output_path TEXT NOT NULL,
     started_at INTEGER NOT NULL,
     finished_at INTEGER
   ) STRICT;`,
  `ALTER TABLE workspaces ADD COLUMN backend TEXT NOT NULL DEFAULT 'oci';`,
  `CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;`,
  `ALTER TABLE workspaces ADD COLUMN hostname TEXT;
   UPDATE workspaces SET hostname = coalesce(name, id);
   ALTER TABLE workspaces ADD COLUMN life TEXT;
   ALTER TABLE workspaces ADD COLUMN idle_seconds INTEGER;
   ALTER TABLE workspaces ADD COLUMN expires_at INTEGER;
   CREATE INDEX workspaces_mortal ON workspaces(id) WHERE idle_seconds IS NOT NULL OR expires_at IS NOT NULL;
   CREATE TABLE expired (
     number INTEGER PRIMARY KEY,
     workspace_id TEXT NOT NULL UNIQUE,
     name TEXT,
     labels TEXT NOT NULL,
     environment TEXT NOT NULL,
     created_at INTEGER NOT NULL,
     expired_at INTEGER NOT NULL,
     report TEXT
   ) STRICT;`,
  `UPDATE workspaces SET seed = json_insert(seed, '$.branch', NULL, '$.ref', NULL, '$.shallow', json('false'),
     '$.partial', json('false'));`,
]

export const SCHEMA_VERSION = STEPS.length

/** Brings the file up to date. Throws when a newer Pyro wrote it, before anything is changed. */
export function migrate(db: DatabaseSync): void {
  const { user_version } = db.prepare('PRAGMA user_version').get() as { user_version: number }
  if (user_version > SCHEMA_VERSION)
    throw new Error(
      `pyro.db has schema ${user_version}, this Pyro knows ${SCHEMA_VERSION}: a newer Pyro wrote it.`,
    )
  for (let version = user_version; version < SCHEMA_VERSION; version++) {
    db.exec(`BEGIN IMMEDIATE; ${STEPS[version]} PRAGMA user_version = ${version + 1}; COMMIT`)
  }
}
