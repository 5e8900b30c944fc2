// Runs a command in a copy of this directory and takes a file out: `node examples/quickstart.ts` in a checkout.
import { Pyro } from '../src/surface/sdk/index.ts'

using pyro = await Pyro.connect()
const { workspaceId } = await pyro.createWorkspace({ environment: 'host', seedPath: '.' })
try {
  const job = await pyro.exec(workspaceId, 'ls && uname -a | tee report.txt')
  for await (const { data } of job.output()) process.stdout.write(data)
  const outputPath = 'report.txt'
  await pyro.exportWorkspace({ workspaceId, path: 'report.txt', outputPath, overwrite: true })
  console.log(`exit code ${(await job.result).exitCode}, written: ${outputPath}`)
} finally {
  await pyro.deleteWorkspace({ workspaceId })
}
