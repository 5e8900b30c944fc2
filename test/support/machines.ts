import { spawnSync } from 'node:child_process'

/** Programs that this machine lacks for emulated machines of a Debian environment. */
export function missingForMachines(): string[] {
  const path = `${process.env['PATH']}:/usr/sbin:/sbin`
  return ['qemu-system-x86_64', 'mmdebstrap', 'mkfs.erofs', 'mkfs.ext4'].filter(
    (tool) => spawnSync('sh', ['-c', `command -v ${tool}`], { env: { PATH: path } }).status !== 0,
  )
}
