// Checks the arrows between the rooms of src/: who may import whom, and that no files import each other in a circle.
// `import type` counts like any import: a type from another room is an arrow too.
import { existsSync, globSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'

/** What each room may import of ours besides itself. A path that names a file allows that file alone. */
const ARROWS: Record<string, string[]> = {
  contract: [],
  policy: [],
  store: ['contract'],
  hand: ['contract'],
  environment: ['contract', 'hand'],
  layer: ['contract', 'hand', 'environment/environment.ts', 'backend/backend.ts', 'channel/spool.ts'],
  channel: ['contract'],
  network: ['contract', 'policy', 'channel'],
  backend: ['contract', 'hand', 'channel', 'store'],
  engine: ['contract', 'policy', 'store', 'hand', 'environment', 'layer', 'channel', 'network', 'backend'],
  'surface/http': ['contract', 'engine', 'channel/spool.ts', 'wiring/paths.ts', 'wiring/private.ts'],
  'surface/sdk': ['contract', 'channel/spool.ts', 'wiring/paths.ts', 'wiring/private.ts'],
  'surface/cli': ['contract', 'surface', 'channel/spool.ts', 'wiring/paths.ts', 'wiring/private.ts'],
  'surface/mcp': ['contract', 'surface', 'channel/spool.ts', 'wiring/paths.ts', 'wiring/private.ts'],
  surface: ['contract', 'channel/spool.ts', 'wiring/paths.ts', 'wiring/private.ts'],
}

/** The one room that may import them all, because it is where they are put together. */
const WIRING = 'wiring'

const IMPORT =
  /(?:^|[\s;])(?:import|export)\b[^'"`;]*?(?:from\s*)?['"](\.{1,2}\/[^'"]+)['"]|\bimport\(\s*['"](\.[^'"]+)['"]/g

export function importsOf(source: string): string[] {
  const text = source.replace(/\/\*[\s\S]*?\*\//g, '').replace(/^\s*\/\/.*$/gm, '')
  return [...text.matchAll(IMPORT)].map((match) => (match[1] ?? match[2])!)
}

const roomOf = (file: string): string => {
  const [top = '', second = ''] = file.split('/')
  return `${top}/${second}` in ARROWS ? `${top}/${second}` : top
}

function allowed(from: string, to: string): boolean {
  const room = roomOf(from)
  if (room === WIRING || room === roomOf(to)) return true
  return (ARROWS[room] ?? []).some((arrow) => to === arrow || to.startsWith(`${arrow}/`))
}

function cycle(graph: Map<string, string[]>): string[] | null {
  const done = new Set<string>()
  const visit = (file: string, path: string[]): string[] | null => {
    const at = path.indexOf(file)
    if (at >= 0) return [...path.slice(at), file]
    if (done.has(file)) return null
    for (const next of graph.get(file) ?? []) {
      const found = visit(next, [...path, file])
      if (found) return found
    }
    done.add(file)
    return null
  }
  for (const file of graph.keys()) {
    const found = visit(file, [])
    if (found) return found
  }
  return null
}

export function check(root: string): string[] {
  const problems: string[] = []
  const graph = new Map<string, string[]>()
  for (const file of globSync('**/*.ts', { cwd: root }).sort()) {
    if (roomOf(file) !== WIRING && file.includes('/') && !(roomOf(file) in ARROWS))
      problems.push(`src/${file}: the room "${roomOf(file)}" is not in the table of scripts/imports.ts`)
    const targets = importsOf(readFileSync(join(root, file), 'utf8')).map((spec) =>
      normalize(join(dirname(file), spec)),
    )
    graph.set(file, targets)
    for (const target of targets) {
      if (target.startsWith('..')) {
        if (target !== '../package.json') problems.push(`src/${file} imports ${target}, outside src/`)
      } else if (!existsSync(join(root, target)))
        problems.push(`src/${file} imports ${target}, which is missing`)
      else if (!allowed(file, target)) problems.push(`src/${file} may not import src/${target}`)
    }
  }
  const circle = cycle(graph)
  if (circle) problems.push(`imports in a circle: ${circle.join(' -> ')}`)
  return problems
}

if (import.meta.main) {
  const problems = check(join(import.meta.dirname, '../src'))
  for (const problem of problems) console.error(problem)
  process.exitCode = problems.length > 0 ? 1 : 0
}
