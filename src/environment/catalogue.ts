import { PyroError } from '../contract/errors.ts'
import type { Environment } from './environment.ts'

export interface Catalogue {
  list: () => Environment[]
  require: (name: string) => Environment
}

export function catalogue(environments: Environment[]): Catalogue {
  return {
    list: () => environments,
    /** @throws environment_not_found, naming those there are. */
    require(name) {
      const found = environments.find((environment) => environment.name === name)
      if (found !== undefined) return found
      throw new PyroError('environment_not_found', `There is no environment ${JSON.stringify(name)}.`, {
        hint: `Known: ${environments.map((environment) => environment.name).join(', ')}. See pyro env list.`,
      })
    },
  }
}
