/** Each part tried for real, with what would mend it. */
import { toPyroError } from '../contract/errors.ts'
import workspaceExec from '../contract/operations/workspace_exec.ts'
import type { CallContext, OutputOf } from '../contract/table.ts'
import { createWorkspace } from './create.ts'
import { deleteWorkspace } from './delete.ts'
import type { Engine } from './engine.ts'
import { type EnvironmentCheck, environmentCheck } from './environmentcheck.ts'
import { exec } from './exec.ts'

type Check = OutputOf<'doctor'>['checks'][number]

export async function doctor(
  engine: Engine,
  name: string,
  context: CallContext,
): Promise<OutputOf<'doctor'>> {
  const checks: Check[] = []
  const seen: { environment: EnvironmentCheck['environment'] | null; built: boolean } = {
    environment: null,
    built: false,
  }
  const check = async (part: string, work: () => Promise<Omit<Check, 'name'>>) => {
    context.progress({ kind: 'step', text: part })
    try {
      checks.push({ name: part, ...(await work()) })
    } catch (thrown) {
      const error = toPyroError(thrown)
      checks.push({
        name: part,
        status: 'failed',
        message: `${error.code}: ${error.message}`,
        hint: error.hint ?? null,
      })
    }
    return checks.at(-1)!.status !== 'failed'
  }
  const fine = (message: string) => ({ status: 'ok' as const, message, hint: null })

  const holder = await check('namespaces', async () => {
    const info = await engine.hand.info()
    return fine(
      info.mode === 'root'
        ? 'engine runs as root; each sandbox has a range of ids of its own'
        : 'ordinary user; sandboxes share its subordinate ids',
    )
  })
  if (holder) {
    await check('home', async () => {
      const probe = await engine.hand.call('probe_fs', { path: engine.home })
      const free = `${Math.round(probe.free_bytes / 2 ** 30)} GiB free`
      if (probe.overlay)
        return fine(
          `${engine.home} on ${probe.type}, ${free}, ${probe.reflink ? 'with' : 'without'} reflinks`,
        )
      return {
        status: 'failed' as const,
        message: `${engine.home} on ${probe.type} cannot hold overlay layers${probe.reason ? `: ${probe.reason}` : ''}`,
        hint: 'Set PYRO_HOME to a folder on a local file system such as ext4, xfs or btrfs.',
      }
    })
    await check('limits', async () => {
      const limits = await engine.backends.of({ backend: 'oci' }).limits({})
      if (limits.enforcement === 'full') return fine('cgroups limit memory, processes and CPUs')
      return {
        status: 'warning' as const,
        message: `limits: partial. ${limits.notes.join(' ')}`,
        hint: 'Have a cgroup delegated to this user and name it in PYRO_CGROUP.',
      }
    })
    await check(`environment ${name}`, async () => {
      const { said, ...found } = await environmentCheck(engine, name)
      Object.assign(seen, found)
      return said
    })
    // Where nothing is built, trying would mean building.
    if (seen.built) await check('workspace', () => tryWorkspace(engine, name, context))
  }
  for (const backend of engine.backends.all)
    await check(`backend ${backend.name}`, async () => {
      const { usable, hardware, reason, hint } = await backend.availability()
      if (usable && hardware) return fine(`usable: each workspace is a ${backend.isolation}`)
      const message = usable ? `usable by name only, emulated: ${reason}` : `not usable: ${reason}`
      return { status: 'warning' as const, message, hint }
    })
  return { ok: checks.every(({ status }) => status !== 'failed'), environment: seen.environment, checks }
}

/** A workspace from its creation to its end, with one command in it. */
async function tryWorkspace(
  engine: Engine,
  environment: string,
  context: CallContext,
): Promise<Omit<Check, 'name'>> {
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
      wait_ms: 10_000,
      max_output_bytes: 4096,
    }
    const result = await exec(engine, workspaceExec.input.parse({ ...input, spool_bytes: 65_536 }))
    const took = `created, ran a command and answered in ${Math.round(performance.now() - from)} ms with ${row.sandbox?.runtime}`
    if (result.exit_code === 0) return { status: 'ok', message: took, hint: null }
    return {
      status: 'failed',
      message: `"true" ended with exit code ${result.exit_code}: ${result.stderr}`,
      hint: null,
    }
  } finally {
    await deleteWorkspace(engine, row.id)
  }
}
