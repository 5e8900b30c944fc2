/** Requests of Firecracker's API 1.16.1, by path; made by scripts/firecracker-types.ts, not by hand. */

export interface Put {
  '/actions': InstanceActionInfo
  '/boot-source': BootSource
  [path: `/drives/${string}`]: Drive
  '/entropy': EntropyDevice
  '/logger': Logger
  '/machine-config': MachineConfiguration
  '/serial': SerialDevice
  '/snapshot/create': SnapshotCreateParams
  '/snapshot/load': SnapshotLoadParams
  '/vsock': Vsock
}

export interface Patch {
  [path: `/drives/${string}`]: PartialDrive
  '/vm': Vm
}

export interface Get {
  '/version': FirecrackerVersion
}

export interface BootSource {
  boot_args?: string
  initrd_path?: string
  kernel_image_path: string
}

export type CpuTemplate = 'C3' | 'T2' | 'T2S' | 'T2CL' | 'T2A' | 'V1N1' | 'None'

export interface Drive {
  drive_id: string
  partuuid?: string
  is_root_device: boolean
  cache_type?: 'Unsafe' | 'Writeback'
  is_read_only?: boolean
  path_on_host?: string
  rate_limiter?: RateLimiter
  io_engine?: 'Sync' | 'Async'
  socket?: string
}

export interface EntropyDevice {
  rate_limiter?: RateLimiter
}

export interface FirecrackerVersion {
  firecracker_version: string
}

export interface InstanceActionInfo {
  action_type: 'FlushMetrics' | 'InstanceStart' | 'SendCtrlAltDel'
}

export interface Logger {
  level?: 'Error' | 'Warning' | 'Info' | 'Debug' | 'Trace' | 'Off'
  log_path?: string
  show_level?: boolean
  show_log_origin?: boolean
  module?: string
}

export interface MachineConfiguration {
  cpu_template?: CpuTemplate
  smt?: boolean
  mem_size_mib: number
  track_dirty_pages?: boolean
  /** at least 1, at most 32 */
  vcpu_count: number
  huge_pages?: 'None' | '2M'
}

export interface MemoryBackend {
  backend_type: 'File' | 'Uffd'
  backend_path: string
}

export interface NetworkOverride {
  iface_id: string
  host_dev_name: string
}

export interface PartialDrive {
  drive_id: string
  path_on_host?: string
  rate_limiter?: RateLimiter
}

export interface RateLimiter {
  bandwidth?: TokenBucket
  ops?: TokenBucket
}

export interface SerialDevice {
  serial_out_path?: string
  rate_limiter?: TokenBucket
}

export interface SnapshotCreateParams {
  mem_file_path: string
  snapshot_path: string
  snapshot_type?: 'Full' | 'Diff'
}

export interface SnapshotLoadParams {
  enable_diff_snapshots?: boolean
  track_dirty_pages?: boolean
  mem_file_path?: string
  mem_backend?: MemoryBackend
  snapshot_path: string
  resume_vm?: boolean
  network_overrides?: NetworkOverride[]
  vsock_override?: VsockOverride
  clock_realtime?: boolean
}

export interface TokenBucket {
  /** at least 0 */
  one_time_burst?: number
  /** at least 0 */
  refill_time: number
  /** at least 0 */
  size: number
}

export interface Vm {
  state: 'Paused' | 'Resumed'
}

export interface Vsock {
  /** at least 3 */
  guest_cid: number
  uds_path: string
  vsock_id?: string
}

export interface VsockOverride {
  uds_path: string
}
