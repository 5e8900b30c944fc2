/** The operations as plain data: computed from the table in a checkout, put in place of a name when bundled. */
import type { OperationDescription } from '../../contract/describe.ts'

declare const PYRO_OPERATIONS: OperationDescription[] | undefined

export async function operations(): Promise<OperationDescription[]> {
  if (typeof PYRO_OPERATIONS !== 'undefined') return PYRO_OPERATIONS
  return (await import('../../contract/describe.ts')).describe()
}
