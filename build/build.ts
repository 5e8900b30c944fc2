// Bundles what the published package carries: dist/cli.js, dist/daemon.js and dist/sdk.js with their shared chunks, and
// the types of the SDK. Nothing outside dist/ is written.
import { execFileSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { build } from 'esbuild'

const root = join(import.meta.dirname, '..')
const dist = join(root, 'dist')

rmSync(dist, { recursive: true, force: true })
await build({
  absWorkingDir: root,
  entryPoints: {
    cli: 'src/surface/cli/main.ts',
    daemon: 'src/wiring/daemon.ts',
    sdk: 'src/surface/sdk/index.ts',
  },
  outdir: dist,
  bundle: true,
  // Shared chunks, and one for each dynamic import: a command loads what it uses and no more.
  splitting: true,
  chunkNames: 'chunk/[name]-[hash]',
  format: 'esm',
  platform: 'node',
  target: 'node24',
  minifySyntax: true,
  minifyWhitespace: true,
  legalComments: 'none',
  // CommonJS packages inside the bundle call require for Node's own modules.
  banner: {
    js: "import{createRequire as __pyroRequire}from'node:module';const require=__pyroRequire(import.meta.url);",
  },
  logLevel: 'warning',
})
execFileSync(
  process.execPath,
  [join(root, 'node_modules/typescript/bin/tsc'), '-p', join(root, 'build/types.json')],
  {
    stdio: 'inherit',
  },
)
