// Bundles what the published package carries: dist/cli.cjs; dist/daemon.js, dist/mcp.js and dist/sdk.js with their shared
// chunks; and the types of the SDK. Nothing outside dist/ is written.
import { execFileSync } from 'node:child_process'
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { type BuildOptions, build } from 'esbuild'
import { describe } from '../src/contract/describe.ts'

const root = join(import.meta.dirname, '..')
const dist = join(root, 'dist')

rmSync(dist, { recursive: true, force: true })
const common = {
  absWorkingDir: root,
  bundle: true,
  platform: 'node',
  target: 'node24',
  minifySyntax: true,
  minifyWhitespace: true,
  minifyIdentifiers: true,
  legalComments: 'none',
  logLevel: 'warning',
} satisfies BuildOptions

await build({
  ...common,
  entryPoints: {
    daemon: 'src/wiring/daemon.ts',
    mcp: 'src/surface/mcp/serve.ts',
    sdk: 'src/surface/sdk/index.ts',
  },
  outdir: dist,
  splitting: true,
  chunkNames: 'chunk/[name]-[hash]',
  format: 'esm',
  // CommonJS packages inside the bundle call require for Node's own modules.
  banner: {
    js: "import{createRequire as __pyroRequire}from'node:module';const require=__pyroRequire(import.meta.url);",
  },
})

// One CommonJS file: requiring one of Node's own modules loads less than importing it does, and the command line starts
// without a schema library, as what it needs of the contract is put in as data.
await build({
  ...common,
  entryPoints: ['src/surface/cli/main.ts'],
  outfile: join(dist, 'cli.cjs'),
  format: 'cjs',
  define: { PYRO_OPERATIONS: JSON.stringify(describe()), 'import.meta.url': '__pyroUrl' },
  banner: { js: "const __pyroUrl=require('node:url').pathToFileURL(__filename).href;" },
  plugins: [
    {
      name: 'mcp-apart',
      setup({ onResolve }) {
        onResolve({ filter: /mcp\/serve\.ts$/ }, () => ({ path: './mcp.js', external: true }))
        // Never loaded: the data above stands in its place.
        onResolve({ filter: /contract\/describe\.ts$/ }, () => ({ path: './mcp.js', external: true }))
      },
    },
  ],
})
execFileSync(
  process.execPath,
  [join(root, 'node_modules/typescript/bin/tsc'), '-p', join(root, 'build/types.json')],
  {
    stdio: 'inherit',
  },
)
