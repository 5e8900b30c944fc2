/** Which backend runs a new workspace: what was asked for, or nothing weaker than it. */
import type { Availability, Backend } from '../backend/backend.ts'
import { PyroError } from '../contract/errors.ts'
import type { CheckedInputOf } from '../contract/table.ts'
import type { Environment } from '../environment/environment.ts'

type Asked = Pick<CheckedInputOf<'workspace_create'>, 'backend' | 'isolation'>

/**
 * `auto` takes a machine where hardware runs it and the environment can be one, else a container. A machine that was asked
 * for is never replaced by a container, and emulation is taken only by its backend's name.
 * @throws backend_unavailable, invalid_input
 */
export async function choose(
  backends: Backend[],
  asked: Asked,
  environment: Pick<Environment, 'name' | 'backends'>,
): Promise<Backend> {
  if (asked.backend !== 'auto') return byName(backends, { ...asked, backend: asked.backend }, environment)
  const fitting = backends.filter(
    ({ name, isolation }) =>
      environment.backends.includes(name) && (asked.isolation === undefined || isolation === asked.isolation),
  )
  if (fitting.length === 0)
    throw unavailable(
      `The environment ${environment.name} runs in no ${asked.isolation}; it is for ${environment.backends.join(', ')}.`,
      'Choose another environment; see pyro env list.',
    )
  const machines = fitting.filter(({ isolation }) => isolation === 'machine')
  const why: string[] = []
  let emulation: string | null = null
  let mending: string | null = null
  for (const machine of machines) {
    const { usable, hardware, reason, hint: mend } = await machine.availability()
    if (usable && hardware) return machine
    why.push(`${machine.name}: ${reason}`)
    mending ??= mend
    if (usable)
      emulation ??= `Ask for emulation, which is slow, with --backend ${machine.name}; or mend it: ${mend}`
  }
  const container = fitting.find(({ isolation }) => isolation === 'container')
  if (container !== undefined) return container
  throw unavailable(`No machine can be run by hardware here (${why.join('; ')}).`, emulation ?? mending)
}

async function byName(
  backends: Backend[],
  { backend: name, isolation }: { backend: Backend['name']; isolation?: Asked['isolation'] },
  environment: Pick<Environment, 'name' | 'backends'>,
): Promise<Backend> {
  const backend = backends.find((one) => one.name === name)
  if (backend === undefined) throw unavailable(`This Pyro has no backend ${name}.`, null)
  if (isolation !== undefined && backend.isolation !== isolation)
    throw new PyroError(
      'invalid_input',
      `The backend ${name} is a ${backend.isolation}, not a ${isolation}.`,
      {
        hint: 'Leave out one of backend and isolation.',
      },
    )
  if (!environment.backends.includes(name))
    throw unavailable(
      `The environment ${environment.name} is for ${environment.backends.join(', ')}, not for ${name}.`,
      'Choose another environment; see pyro env list.',
    )
  const { usable, reason, hint }: Availability = await backend.availability()
  if (usable) return backend
  throw unavailable(`The backend ${name} cannot be used here: ${reason}.`, hint)
}

function unavailable(message: string, hint: string | null): PyroError {
  return new PyroError('backend_unavailable', message, { hint: hint ?? 'See pyro doctor.' })
}
