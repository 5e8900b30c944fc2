/** What a sandbox keeps from the host, by its kind. */
import { expect, test } from 'vitest'

/** Runs a command in a sandbox whose root is nobody's, and gives its output without the last line end. */
type Out = (command: string) => Promise<string>

export function containerIsolation(out: Out): void {
  test('no network but loopback, no host files, no privileges', async () => {
    expect(await out('ls /sys/class/net')).toBe('lo')
    expect(await out('cat /etc/shadow 2>&1 | tail -1')).toMatch(/No such file|denied/)
    expect(await out('ls -A /home /root /var/lib /usr/local/etc | grep -v :')).toBe('')
    expect(await out('touch /usr/x 2>&1')).toMatch(/Read-only/)
    expect(await out('grep NoNewPrivs /proc/self/status')).toMatch(/1$/)
    expect(await out('grep Seccomp: /proc/self/status')).toMatch(/2$/)
    expect(await out('mount -t tmpfs none /mnt 2>&1; unshare -m true 2>&1')).toMatch(
      /denied|permitted|superuser/,
    )
    const map = (await out('cat /proc/self/uid_map')).split(/\s+/)
    expect(Number(map[1])).not.toBe(0)
  })
  test('files that only root may read on this machine are unreadable inside', async () => {
    const denied = await out(
      'find /usr -xdev ! -readable -type f 2>/dev/null | head -1; find /usr -perm -4000 -exec test -u {} \\; 2>/dev/null; echo done',
    )
    expect(denied.endsWith('done')).toBe(true)
  })
}

export function machineIsolation(out: Out): void {
  test('a kernel of its own, and no network but loopback', async () => {
    expect(await out('ls /sys/class/net')).toBe('lo')
    expect(await out('cat /sys/class/net/lo/operstate; cat /proc/sys/kernel/hostname')).toMatch(
      /^(unknown|up)\none$/,
    )
    expect(await out('uname -r')).toMatch(/cloud/)
    expect(await out('cat /proc/uptime | cut -d. -f1')).toMatch(/^\d{1,3}$/)
    expect(await out('cat /etc/machine-id')).toMatch(/^[0-9a-f]{32}$/)
    expect(Math.abs(Number(await out('date +%s')) - Date.now() / 1000)).toBeLessThan(30)
  })
  test('root inside may do what root may: to its own machine', async () => {
    expect(
      await out('mount -t tmpfs none /mnt && echo mounted; umount /mnt; touch /usr/x && echo written'),
    ).toBe('mounted\nwritten')
    expect(await out('ls /mnt; ls /run/pyro')).toBe('spool')
  })
  test('what it may write is bounded by its disk', async () => {
    expect(await out('df -m / | tail -1 | tr -s " " | cut -d" " -f2')).toMatch(/^1[0-9]{4}$/)
  })
}
