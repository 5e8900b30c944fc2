/** Every reason why something is slower, weaker or missing here: what can be seen, and then each part tried for real. */
import { toPyroError } from '../../contract/errors.ts'
import workspaceExec from '../../contract/operations/workspace_exec.ts'
import type { CallContext, OutputOf } from '../../contract/table.ts'
import type { Availability, Backend } from '../../backend/backend.ts'
import { createWorkspace } from '../create.ts'
import { deleteWorkspace } from '../delete.ts'
import type { Engine } from '../engine.ts'
import { exec } from '../exec.ts'
import { controlGroups } from './cgroups.ts'
import { type Check, commandIn, failed, type Finding, fine } from './finding.ts'
import { environmentCheck } from './environment.ts'
import { hostOf } from './host.ts'
import { machineChecks } from './machine.ts'
import { home } from './storage.ts'

export async function doctor(
  engine: Engine,
  name: string,
  context: CallContext,
): Promise<OutputOf<'doctor'>> {
  engine.environments.require(name)
  const host = hostOf()
  const checks: Check[] = machineChecks(host, engine)
  const check = async (name: string, work: () => Promise<Finding>) => {
    context.progress({ kind: 'step', text: name })
    const finding = await work().catch((thrown) => failed(toPyroError(thrown)))
    checks.push({ name, ...finding })
    return finding.status !== 'missing'
  }

  const holder = await check('namespaces', async () => {
    const { mode } = await engine.hand.info()
    return fine(
      mode === 'root'
        ? 'engine runs as root; each sandbox has a range of ids of its own'
        : 'ordinary user; sandboxes share its subordinate ids',
    )
  })
  if (holder) {
    await check('home', async () =>
      home(host, engine.home, await engine.hand.call('probe_fs', { path: engine.home })),
    )
    await check('limits', async () => {
      const { enforcement } = await engine.backends.of({ backend: 'oci' }).limits({})
      return controlGroups(host, enforcement === 'full')
    })
  }
  for (const backend of engine.backends.all)
    await check(`backend ${backend.name}`, async () => ofBackend(backend, await backend.availability()))
  const seen = holder ? await environmentCheck(engine, name) : null
  const there = seen !== null && (await check(`environment ${name}`, async () => seen.finding))
  // Where nothing is built, trying it would mean building it.
  const tried = seen?.built ? name : 'host'
  const works = holder && (await check('workspace', () => tryWorkspace(engine, tried, context)))
  return { ok: works && there, environment: seen?.environment ?? null, checks }
}

function ofBackend({ isolation }: Backend, { usable, hardware, reason, hint }: Availability): Finding {
  if (usable && hardware) return fine(`usable: each workspace is a ${isolation}`)
  const { command, words } = commandIn(hint)
  const why = `${reason?.replace(/\.$/, '')}.${words}`
  if (!usable) return { status: 'missing', why, command }
  return { status: 'slower', why: `Emulated, and taken by its name only: ${why}`, command }
}

/** A workspace from its creation to its end, with one command in it. */
async function tryWorkspace(engine: Engine, environment: string, context: CallContext): Promise<Finding> {
  const from = performance.now()
  const row = await createWorkspace(
    engine,
    { environment, backend: 'auto', labels: {}, ephemeral: true },
    context,
  )
  try {
    const input = {
      workspace_id: row.id,
      command: ['true'],
      cwd: '/',
      // A machine that is busy is slow and not broken.
      wait_ms: 45_000,
      max_output_bytes: 4096,
    }
    const result = await exec(engine, workspaceExec.input.parse({ ...input, spool_bytes: 65_536 }))
    const took = `created, ran a command and answered in ${Math.round(performance.now() - from)} ms with ${row.sandbox?.runtime}`
    if (result.exit_code === 0) return fine(took)
    return {
      status: 'missing',
      why: `"true" ended with exit code ${result.exit_code}: ${result.stderr}`,
      command: null,
    }
  } finally {
    await deleteWorkspace(engine, row.id)
  }
}
