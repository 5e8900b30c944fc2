// Writes docs/public-contract.md and docs/openapi.json from the table of operations; with --check only says what is
// stale. Checks that the links of the documents lead somewhere.
import { existsSync, globSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { openApi } from '../src/surface/http/openapi.ts'
import { VERSION } from '../src/surface/sdk/version.ts'
import { contractPage } from './docs/contract.ts'

const root = join(import.meta.dirname, '..')
const check = process.argv.includes('--check')
const problems: string[] = []

const pages = {
  'docs/public-contract.md': contractPage(),
  'docs/openapi.json': `${JSON.stringify(openApi(VERSION), null, 2)}\n`,
}
for (const [path, text] of Object.entries(pages)) {
  const file = join(root, path)
  const written = existsSync(file) ? readFileSync(file, 'utf8') : ''
  if (written === text) continue
  if (check) problems.push(`${path} is stale: run npm run docs`)
  else {
    mkdirSync(dirname(file), { recursive: true })
    writeFileSync(file, text)
    console.log(`${path} written`)
  }
}

for (const path of globSync(['*.md', 'docs/**/*.md'], { cwd: root }).sort()) {
  const text = readFileSync(join(root, path), 'utf8')
  const headings = headingsOf(text)
  for (const [, target = ''] of text.replace(/```[\s\S]*?```/g, '').matchAll(/\]\(([^)\s]+)\)/g)) {
    if (/^[a-z]+:/.test(target)) continue
    const [file = '', anchor] = target.split('#')
    if (file !== '' && !existsSync(join(root, dirname(path), file)))
      problems.push(`${path}: ${target} leads nowhere`)
    else if (file === '' && anchor !== undefined && !headings.has(anchor))
      problems.push(`${path}: #${anchor} leads nowhere`)
  }
}
for (const problem of problems) console.error(problem)
process.exitCode = problems.length > 0 ? 1 : 0

/** Anchors as Markdown viewers make them. */
function headingsOf(text: string): Set<string> {
  const titles = [...text.matchAll(/^#+ (.*)$/gm)].map(([, title = '']) => title)
  return new Set(
    titles.map((title) =>
      title
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  )
}
