/** What the agent may say. It runs beside code nobody trusts: every answer is checked before the engine looks at it. */
import { z } from 'zod'

/** What an agent remembers at most, twice over. */
const MAX_JOBS = 8192

const count = z.number().min(0).max(Number.MAX_SAFE_INTEGER)
const offset = z.int().min(0)

/** Refused at its first bad item: a list of nothing but bad ones would otherwise be answered with as many complaints. */
const list = <T extends z.ZodType>(item: T, most: number) =>
  z
    .array(z.unknown())
    .max(most)
    .transform((values, context) => {
      const items: z.output<T>[] = []
      for (const value of values) {
        const { data, success } = item.safeParse(value)
        if (!success) {
          context.addIssue('an item has another form')
          return z.NEVER
        }
        items.push(data)
      }
      return items
    })

/** Bytes, as the agent's JSON has them. */
const base64 = z.string().refine((text) => text.length % 4 === 0 && !/[^A-Za-z0-9+/=]/.test(text))

const position = z.object({ start: offset, end: offset, eof: z.boolean() }).refine((at) => at.start <= at.end)

export const jobStatus = z.object({
  id: z.string().max(64),
  state: z.enum(['running', 'exited']),
  pid: z.int(),
  started_at_ms: count,
  ended_at_ms: count.nullable(),
  exit_code: z.int().min(0).max(255).nullable(),
  signal: z.string().max(16).nullable(),
  timed_out: z.boolean(),
  killed: z.boolean(),
  duration_ms: count,
  cpu_ms: count,
  peak_memory_bytes: count,
  error: z.object({ code: z.string().max(64), message: z.string().max(4096) }).nullable(),
  stdout: position,
  stderr: position,
  survivors: z.int().min(0),
  inline: z.object({ stdout: base64, stderr: base64 }).nullish(),
})
export type JobStatus = z.infer<typeof jobStatus>

export const jobList = z.object({ jobs: list(jobStatus, MAX_JOBS) })
export const written = z.object({ written: z.int().min(0) })
export const refusal = z.object({ code: z.string().max(64), message: z.string().max(4096) })

/** The agent did what it was asked, and has nothing to say. */
export const done = z.object({})

/** A path below /workspace: relative, and clean. */
const below = z
  .string()
  .min(1)
  .max(4096)
  .refine(
    (path) =>
      !path.includes('\0') && !path.split('/').some((part) => part === '' || part === '.' || part === '..'),
  )

export const changes = z.object({
  added: offset,
  modified: offset,
  deleted: offset,
  entries: list(
    z.object({
      path: below,
      change: z.enum(['added', 'modified', 'deleted']),
      type: z.enum(['file', 'directory', 'symlink', 'other']),
      size: count,
      changed_at_ms: count,
    }),
    100_000,
  ),
  truncated: z.boolean(),
})
export type Changes = z.infer<typeof changes>

/** A command as the agent takes it. */
export interface JobSpec {
  id: string
  argv: string[]
  cwd: string
  env: Record<string, string>
  user: string
  timeout_ms: number
  stdin: 'none' | 'pipe'
  stdin_data?: string
  stdin_open?: boolean
  spool_bytes: number
  attach: boolean
}
