import { z } from 'zod'
import { job, streamChunk, waitMs, workspaceRef } from '../fields.ts'
import { operation } from '../operation.ts'

export default operation({
  name: 'workspace_job_read',
  command: ['workspace', 'job', 'read'],
  sdk: 'readJob',
  tool: 'workspace_job_read',
  summary: "Read a command's output from a cursor, and its result once it has one.",
  description:
    'Answers as soon as there is output beyond a cursor or the command has ended, or after wait_ms. With attach, the cursors ' +
    'acknowledge what was read: for 10 seconds after each such call the command waits rather than lose output.',
  input: z
    .object({
      workspace_id: workspaceRef,
      job_id: z.string().min(1).max(64),
      stdout_cursor: z.int().min(0).default(0),
      stderr_cursor: z.int().min(0).default(0),
      max_bytes: z
        .int()
        .min(0)
        .max(4_194_304)
        .default(65_536)
        .describe('Most bytes of each stream; 0 asks for positions only.'),
      wait_ms: waitMs.default(0),
      attach: z.boolean().default(false),
    })
    .strict(),
  output: job.extend({
    stdout: streamChunk,
    stderr: streamChunk,
    spool_path: z
      .string()
      .nullable()
      .describe('Where a reader on this machine finds the streams as files (.out, .err), or null.'),
  }),
  effects: { readOnly: true, destructive: false, idempotent: true },
  errors: ['workspace_not_found', 'job_not_found', 'bad_cursor', 'guest_unreachable'],
  cli: {
    positionals: ['workspace_id', 'job_id'],
    hidden: ['attach'],
    examples: ['workspace job read fix-login job-3 --wait-ms 1000'],
  },
})
