/** The sandbox's seccomp profile in the form of the OCI runtime specification (config-linux, `linux.seccomp`). */
import { PROFILE } from '../src/backend/oci/seccomp/profile.ts'

export function ociSeccomp(arch: string = process.arch): object {
  const conditional = PROFILE.conditional.flatMap(({ name, anyOf }) =>
    anyOf.map((condition) => ({
      names: [name],
      action: 'SCMP_ACT_ALLOW',
      args: [
        'equals' in condition
          ? { index: condition.argument, value: condition.equals, op: 'SCMP_CMP_EQ' }
          : { index: condition.argument, value: condition.without, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' },
      ],
    })),
  )
  return {
    defaultAction: 'SCMP_ACT_ERRNO',
    defaultErrnoRet: 1,
    architectures:
      arch === 'arm64' ? ['SCMP_ARCH_AARCH64', 'SCMP_ARCH_ARM'] : ['SCMP_ARCH_X86_64', 'SCMP_ARCH_X86'],
    syscalls: [
      { names: PROFILE.allowed, action: 'SCMP_ACT_ALLOW' },
      ...conditional,
      { names: PROFILE.absent, action: 'SCMP_ACT_ERRNO', errnoRet: 38 },
    ],
  }
}
