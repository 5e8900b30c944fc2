/**
 * The system calls a sandbox may make: an allow-list in the manner of Docker's default profile, without the parts that
 * need a capability no sandbox holds over the host (mount, namespaces, bpf, keys, modules, clocks, io_uring, …).
 * Whatever is not named fails with EPERM; clone3 fails with ENOSYS so that libc falls back to clone, whose flags can be
 * seen by a filter (clone3's lie in memory).
 */
const words = (text: string) => text.trim().split(/\s+/)

const FILES = words(`
  access chdir chmod chown chown32 close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2
  fadvise64 fadvise64_64 fallocate fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat fcntl fcntl64 fdatasync
  fgetxattr flistxattr flock fremovexattr fsetxattr fstat fstat64 fstatat64 fstatfs fstatfs64 fsync ftruncate
  ftruncate64 futimesat getcwd getdents getdents64 getxattr getxattrat inotify_add_watch inotify_init inotify_init1
  inotify_rm_watch lchown lchown32 lgetxattr link linkat listxattr listxattrat llistxattr lremovexattr lseek _llseek
  lsetxattr lstat lstat64 mkdir mkdirat mknod mknodat name_to_handle_at newfstatat open openat openat2 pread64 preadv
  preadv2 pwrite64 pwritev pwritev2 read readahead readlink readlinkat readv removexattr removexattrat rename renameat
  renameat2 rmdir sendfile sendfile64 setxattr setxattrat splice stat stat64 statfs statfs64 statx symlink symlinkat
  sync sync_file_range syncfs tee truncate truncate64 umask unlink unlinkat utime utimensat utimensat_time64 utimes
  vmsplice write writev
`)

const MEMORY = words(`
  brk cachestat madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mmap2
  mprotect mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect process_mrelease
  remap_file_pages set_mempolicy_home_node
`)

const PROCESSES = words(`
  alarm capget capset execve execveat exit exit_group fork getcpu getegid getegid32 geteuid geteuid32 getgid getgid32
  getgroups getgroups32 getpgid getpgrp getpid getppid getpriority getresgid getresgid32 getresuid getresuid32
  getrlimit getrusage getsid gettid getuid getuid32 get_robust_list get_thread_area ioprio_get ioprio_set kill
  landlock_add_rule landlock_create_ruleset landlock_restrict_self nanosleep pause pidfd_open pidfd_send_signal prctl
  prlimit64 process_vm_readv process_vm_writev ptrace restart_syscall rseq rt_sigaction rt_sigpending rt_sigprocmask
  rt_sigqueueinfo rt_sigreturn rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo
  sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam
  sched_getscheduler sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam
  sched_setscheduler sched_yield seccomp set_robust_list set_thread_area set_tid_address setfsgid setfsgid32 setfsuid
  setfsuid32 setgid setgid32 setgroups setgroups32 setpgid setpriority setregid setregid32 setresgid setresgid32
  setresuid setresuid32 setreuid setreuid32 setrlimit setsid setuid setuid32 sigaltstack signal sigaction sigpending
  sigprocmask sigreturn sigsuspend sysinfo tgkill time times tkill ugetrlimit uname vfork wait4 waitid waitpid chroot
`)

const WAITING = words(`
  clock_getres clock_getres_time64 clock_gettime clock_gettime64 clock_nanosleep clock_nanosleep_time64 epoll_create
  epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old eventfd eventfd2 futex
  futex_requeue futex_time64 futex_wait futex_waitv futex_wake getitimer gettimeofday io_cancel io_destroy io_getevents
  io_pgetevents io_pgetevents_time64 io_setup io_submit poll ppoll ppoll_time64 pselect6 pselect6_time64 select
  _newselect setitimer signalfd signalfd4 timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64
  timer_settime timer_settime64 timerfd_create timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64
`)

const TALKING = words(`
  accept accept4 bind connect getpeername getrandom getsockname getsockopt ioctl ipc listen mq_getsetattr mq_notify
  mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink msgctl msgget msgrcv msgsnd
  pipe pipe2 recv recvfrom recvmmsg recvmmsg_time64 recvmsg semctl semget semop semtimedop semtimedop_time64 send
  sendmmsg sendmsg sendto setsockopt shmat shmctl shmdt shmget shutdown socketpair
`)

/** CLONE_NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID and NEWNET. (NEWTIME cannot be asked of clone.) */
const NAMESPACES = 0x7e020000

/** AF_UNIX, AF_INET, AF_INET6, AF_NETLINK. vsock in particular is not separated by network namespaces. */
const FAMILIES = [1, 2, 10, 16]

/** Linux, 32-bit Linux, the same without address randomisation, and the query (0xffffffff). */
const PERSONALITIES = [0x0, 0x8, 0x20000, 0x20008, 0x40000, 0xffffffff]

const FOR_X86 = words('arch_prctl modify_ldt')
const FOR_ARM = words('arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush set_tls')

/** A condition on one argument: its 64 bits equal a value, or share none with a mask. */
export type Condition = { argument: number; equals: number } | { argument: number; without: number }

/** Calls that are let through where any one of the conditions holds. */
export interface ConditionalRule {
  name: string
  anyOf: Condition[]
}

export interface Profile {
  allowed: string[]
  conditional: ConditionalRule[]
  /** Calls that fail with ENOSYS, so that libc tries an older one. */
  absent: string[]
}

// No socketcall: on 32-bit x86 it would carry a family that the filter cannot see; libc uses socket() there too.
export const PROFILE: Profile = {
  allowed: [...FILES, ...MEMORY, ...PROCESSES, ...WAITING, ...TALKING, ...FOR_X86, ...FOR_ARM],
  conditional: [
    { name: 'personality', anyOf: PERSONALITIES.map((equals) => ({ argument: 0, equals })) },
    { name: 'socket', anyOf: FAMILIES.map((equals) => ({ argument: 0, equals })) },
    { name: 'clone', anyOf: [{ argument: 0, without: NAMESPACES }] },
  ],
  absent: ['clone3'],
}
