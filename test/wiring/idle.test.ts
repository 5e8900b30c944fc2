/** An engine leaves when nothing runs, and not while it has something to delete. */
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { newFolder, removeFolder, startEngine } from '../support/engine.ts'
import { mountsBelow, processesNaming } from '../support/leaks.ts'

test('it stays for a workspace whose time will run out, and leaves after it', {
  timeout: 60_000,
}, async () => {
  const folder = newFolder()
  const engine = await startEngine({ folder, env: { PYRO_IDLE_SECONDS: '0' } })
  const kept = await engine.call('workspace_create', { environment: 'host', name: 'kept' })
  const mortal = await engine.call('workspace_create', { environment: 'host', ttl_seconds: 12 })
  for (const { workspace_id } of [kept, mortal]) await engine.call('workspace_stop', { workspace_id })
  const left = await engine.ended
  expect(left).toEqual({ code: 0, signal: null })
  expect(Date.now()).toBeGreaterThan(Date.parse(mortal.expires_at!))
  expect(readdirSync(join(folder, 'home/workspaces'))).toEqual([kept.workspace_id])
  // The holder went with it: a stopped workspace has nothing but its files.
  expect(processesNaming(folder)).toEqual([])
  expect(mountsBelow(folder)).toEqual([])

  const next = await startEngine({ folder })
  const { workspaces, expired } = await next.call('workspace_list', { expired: true })
  expect(workspaces.map(({ name, state }) => ({ name, state }))).toEqual([{ name: 'kept', state: 'stopped' }])
  expect(expired!.map(({ workspace_id }) => workspace_id)).toEqual([mortal.workspace_id])
  await next.call('workspace_start', { workspace_id: 'kept' })
  const { stdout } = await next.call('workspace_exec', { workspace_id: 'kept', command: 'echo on' })
  expect(stdout).toBe('on\n')
  await next.stop()
  removeFolder(folder)
})
