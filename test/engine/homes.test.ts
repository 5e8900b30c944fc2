/**
 * Several users and several homes of each on one machine, all busy at once: nobody sees or hurts what is another's.
 */
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { DatabaseSync } from 'node:sqlite'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import {
  engineEnv,
  newFolder,
  type Refused,
  removeFolder,
  startEngine,
  type TestEngine,
} from '../support/engine.ts'
import { cgroupsOf, mountsBelow, processesNaming } from '../support/leaks.ts'
import { addUser, isRoot, removeUser, type User } from '../support/users.ts'

/** Whose a folder is, and what it lets others do. */
const closed = (path: string) => {
  const { uid, mode } = statSync(path)
  return { uid, open: mode & 0o077 }
}

const ROUNDS = 2
const AT_ONCE = 2

describe.skipIf(!isRoot)('homes (needs root, to make users)', () => {
  const users: User[] = []
  const homes: { name: string; user: User | undefined; engine: TestEngine }[] = []

  beforeAll(async () => {
    for (const letter of ['a', 'b']) users.push(addUser(`pyrohome${letter}${process.pid}`))
    for (const user of [undefined, ...users])
      for (const number of [1, 2]) {
        const engine = await startEngine({ folder: newFolder(user), user })
        homes.push({ name: `${user?.name ?? 'root'}-${number}`, user, engine })
      }
  }, 120_000)
  afterAll(async () => {
    for (const { engine } of homes) {
      await engine.stop()
      expect(processesNaming(engine.folder)).toEqual([])
      expect(mountsBelow(engine.folder)).toEqual([])
      removeFolder(engine.folder)
    }
    for (const user of users) removeUser(user)
  }, 120_000)

  /** First ids, on this machine, of what the sandbox's root is. */
  const idsOf = (engine: TestEngine, id: string): number => {
    const db = new DatabaseSync(join(engine.home, 'pyro.db'), { readOnly: true })
    const { sandbox } = db.prepare('SELECT sandbox FROM workspaces WHERE id = ?').get(id) as {
      sandbox: string
    }
    db.close()
    const map = readFileSync(`/proc/${JSON.parse(sandbox).pid}/uid_map`, 'utf8').trim()
    return Number(map.split(/\s+/)[1])
  }

  /** Everything a workspace goes through, with a mark that nobody else has. */
  async function life({ name, engine }: (typeof homes)[number], round: number, one: number): Promise<number> {
    const mark = `${name}/${round}/${one}`
    const called = `same-${one}`
    // The same name in every home.
    const { workspace_id } = await engine.call('workspace_create', { environment: 'host', name: called })
    const sh = async (command: string) =>
      (await engine.call('workspace_exec', { workspace_id, command })).stdout.trim()
    await sh(`echo ${mark} | tee mark > /root/mark; mkdir -p /run/shared; echo ${mark} > /run/shared/mark`)
    const ids = idsOf(engine, workspace_id)
    const seen = 'cat mark /root/mark | sort -u; ls /run/shared; ps ax -o args | grep -c "sleep 98[7]"'
    await engine.call('workspace_exec', { workspace_id, command: ['sleep', '987'], wait_ms: 0 })
    expect(await sh(seen)).toBe(`${mark}\nmark\n1`)
    await engine.call('workspace_stop', { workspace_id: called, grace_ms: 0 })
    await engine.call('workspace_start', { workspace_id: called })
    expect(await sh('cat mark /root/mark | sort -u; hostname')).toBe(`${mark}\n${called}`)
    const output_path = join(engine.folder, `out-${round}-${one}`)
    await engine.call('workspace_export', { workspace_id, path: 'mark', output_path })
    expect(readFileSync(output_path, 'utf8')).toBe(`${mark}\n`)
    const { workspaces } = await engine.call('workspace_list', {})
    for (const { name } of workspaces) expect(name).toMatch(/^(same|kept)/)
    expect(await engine.call('workspace_delete', { workspace_id })).toMatchObject({ changes: { added: 1 } })
    expect(cgroupsOf(workspace_id)).toEqual([])
    return ids
  }

  test('all busy at once', async () => {
    const kept = await Promise.all(
      homes.map(async ({ engine, name }) => {
        const { workspace_id } = await engine.call('workspace_create', { environment: 'host', name: 'kept' })
        await engine.call('workspace_exec', { workspace_id, command: `echo ${name} > name` })
        return workspace_id
      }),
    )
    for (let round = 0; round < ROUNDS; round++)
      await Promise.all(
        homes.flatMap((home) => Array.from({ length: AT_ONCE }, (_, one) => life(home, round, one))),
      )
    for (const [at, { engine, name }] of homes.entries()) {
      const workspace_id = kept[at]!
      const { workspaces } = await engine.call('workspace_list', {})
      expect(workspaces.map((each) => each.workspace_id)).toEqual([workspace_id])
      expect(workspaces[0]).toMatchObject({ state: 'running', command_count: 1 })
      const { stdout } = await engine.call('workspace_exec', { workspace_id, command: 'cat name' })
      expect(stdout).toBe(`${name}\n`)
      // Ids of others lead nowhere.
      const foreign = kept[(at + 1) % kept.length]!
      const refused = await engine.call('workspace_delete', { workspace_id: foreign }).catch((error) => error)
      expect((refused as Refused).body.code).toBe('workspace_not_found')
    }
  }, 180_000)

  test('no two users, and no two workspaces of root, have an id of this machine in common', async () => {
    const made = await Promise.all(
      homes.flatMap(({ name, user, engine }) =>
        [1, 2, 3].map(async () => {
          const { workspace_id } = await engine.call('workspace_create', { environment: 'host' })
          return { who: user?.name ?? `${name}/${workspace_id}`, ids: idsOf(engine, workspace_id) }
        }),
      ),
    )
    const owners = new Map<number, Set<string>>()
    for (const { who, ids } of made) owners.set(ids, (owners.get(ids) ?? new Set()).add(who))
    for (const [ids, who] of owners) expect([...who], `${ids}`).toHaveLength(1)
  }, 60_000)

  test('a folder of another is closed, its socket too', () => {
    for (const { engine, user } of homes) {
      const { uid } = user ?? { uid: 0 }
      expect(closed(engine.home)).toEqual({ uid, open: 0 })
      expect(existsSync(join(engine.home, 'run/engine.sock'))).toBe(true)
      expect(closed(join(engine.home, 'run'))).toEqual({ uid, open: 0 })
    }
  })

  test('a home that is gone leaves its ranges to others', async () => {
    const [first] = homes
    const folder = newFolder()
    const passing = await startEngine({ folder })
    const ids = await Promise.all(
      [1, 2].map(async () => {
        const { workspace_id } = await passing.call('workspace_create', { environment: 'host' })
        return idsOf(passing, workspace_id)
      }),
    )
    await passing.stop()
    removeFolder(folder)
    const { workspace_id } = await first!.engine.call('workspace_create', { environment: 'host' })
    expect(idsOf(first!.engine, workspace_id)).toBe(Math.min(...ids))
    const list = new DatabaseSync(join(engineEnv(folder)['PYRO_SHARED']!, 'homes.db'), { readOnly: true })
    const known = list.prepare('SELECT path FROM homes').all() as { path: string }[]
    list.close()
    expect(known.map(({ path }) => path)).not.toContain(join(folder, 'home'))
    expect(readdirSync(join(first!.engine.home, 'workspaces'))).toContain(workspace_id)
  }, 60_000)
})
