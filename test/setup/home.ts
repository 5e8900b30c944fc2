// Every test file has a PYRO_HOME of its own below /tmp, so that files can run side by side and nothing of the user's is
// touched. It is removed by leaks.ts, which first looks at what was left in it.
import { chmodSync, mkdirSync, mkdtempSync } from 'node:fs'
import { join } from 'node:path'
import { inject } from 'vitest'
import { resolvePaths } from '../../src/wiring/paths.ts'

// Short, because socket names must stay below 104 bytes; open to pass through, because tests act as ordinary users too.
// What takes long to build is kept from run to run; its names change with what it is made of.
process.env['PYRO_TEST_CACHE'] ??= join(resolvePaths().cache, 'test')
const home = mkdtempSync(join(inject('pyroTestRoot'), 'h'))
chmodSync(home, 0o711)
process.env['TMPDIR'] = home
process.env['PYRO_SHARED'] = join(inject('pyroTestRoot'), 'shared')
process.env['PYRO_HOME'] = join(home, 'state')
process.env['XDG_RUNTIME_DIR'] = join(home, 'run')
mkdirSync(process.env['XDG_RUNTIME_DIR'], { mode: 0o700 })
