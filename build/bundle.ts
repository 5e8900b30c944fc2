/** The programs of the package: dist/cli.cjs; dist/daemon.js, dist/mcp.js, dist/sdk.js and what they share. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { type BuildOptions, build, type Plugin } from 'esbuild'
import { describe } from '../src/contract/describe.ts'

/** @returns the files that went in, as paths from the root. */
export async function bundle(root: string, dist: string): Promise<string[]> {
  const common = {
    absWorkingDir: root,
    bundle: true,
    platform: 'node',
    target: 'node24',
    minifySyntax: true,
    minifyWhitespace: true,
    minifyIdentifiers: true,
    // Licences are in a file of their own.
    legalComments: 'none',
    metafile: true,
    logLevel: 'warning',
  } satisfies BuildOptions
  const version: Plugin = {
    name: 'version-alone',
    setup({ onLoad }) {
      // Of package.json the programs want one field; the rest is about developing.
      onLoad({ filter: /\/package\.json$/ }, ({ path }) => ({
        contents: JSON.stringify({ version: JSON.parse(readFileSync(path, 'utf8')).version }),
        loader: 'json',
      }))
    },
  }

  const modules = await build({
    ...common,
    entryPoints: {
      daemon: 'src/wiring/daemon.ts',
      mcp: 'src/surface/mcp/serve.ts',
      sdk: 'src/surface/sdk/index.ts',
      completion: 'src/surface/cli/completion/index.ts',
    },
    outdir: dist,
    splitting: true,
    chunkNames: 'chunk/[name]-[hash]',
    format: 'esm',
    plugins: [version],
    // CommonJS packages inside the bundle call require for Node's own modules.
    banner: {
      js: "import{createRequire as __pyroRequire}from'node:module';const require=__pyroRequire(import.meta.url);",
    },
  })

  // One CommonJS file: requiring one of Node's own modules loads less than importing it does, and the command line
  // starts without a schema library, as what it needs of the contract is put in as data.
  const line = await build({
    ...common,
    entryPoints: ['src/surface/cli/main.ts'],
    outfile: join(dist, 'cli.cjs'),
    format: 'cjs',
    define: { PYRO_OPERATIONS: JSON.stringify(describe()), 'import.meta.url': '__pyroUrl' },
    banner: { js: "const __pyroUrl=require('node:url').pathToFileURL(__filename).href;" },
    plugins: [
      version,
      {
        name: 'rare-ones-apart',
        setup({ onResolve }) {
          onResolve({ filter: /completion\/index\.ts$/ }, () => ({ path: './completion.js', external: true }))
          onResolve({ filter: /mcp\/serve\.ts$/ }, () => ({ path: './mcp.js', external: true }))
          // Never loaded: the data above stands in its place.
          onResolve({ filter: /contract\/describe\.ts$/ }, () => ({ path: './mcp.js', external: true }))
        },
      },
    ],
  })
  return [...Object.keys(modules.metafile.inputs), ...Object.keys(line.metafile.inputs)]
}
