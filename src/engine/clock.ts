/**
 * Time as a workspace's idleness is counted: the kernel's CLOCK_MONOTONIC, which stands still while this machine sleeps. It
 * begins anew with each boot, so the boot is part of it; it is the same for every engine of one boot.
 */
import { bootId } from '../backend/process.ts'
import type { Life } from '../store/workspaces.ts'

const monotonicMs = () => Number(process.hrtime.bigint() / 1_000_000n)

/** Now, by both clocks: what is recorded of a sign of life. */
export function signOfLife(): { activity_at: number; life: Life } {
  return { activity_at: Date.now(), life: { boot_id: bootId(), at_ms: monotonicMs() } }
}

/** How long ago that was; one of another boot, or none, is taken for now. */
export function sinceMs(life: Life | null): number {
  return life === null || life.boot_id !== bootId() ? 0 : Math.max(0, monotonicMs() - life.at_ms)
}
