import { z } from 'zod'
import { job, workspaceRef } from '../fields.ts'
import { operation } from '../operation.ts'

export default operation({
  name: 'workspace_job_kill',
  command: ['workspace', 'job', 'kill'],
  sdk: 'killJob',
  tool: 'workspace_job_kill',
  summary: "End a command's whole process tree, or send it a signal.",
  description:
    'Without a signal: SIGTERM to every process of the tree, and SIGKILL to what is left after the grace time, daemons and ' +
    'survivors of an ended command included. With a signal: that signal to the process group of the command.',
  input: z
    .object({
      workspace_id: workspaceRef,
      job_id: z.string().min(1).max(64),
      signal: z
        .enum([
          'SIGHUP',
          'SIGINT',
          'SIGQUIT',
          'SIGUSR1',
          'SIGUSR2',
          'SIGTERM',
          'SIGWINCH',
          'SIGSTOP',
          'SIGCONT',
        ])
        .optional(),
      grace_ms: z.int().min(0).max(60_000).default(2000),
    })
    .strict(),
  output: job,
  effects: { readOnly: false, destructive: true, idempotent: true },
  errors: ['workspace_not_found', 'wrong_state', 'job_not_found', 'job_ended', 'guest_unreachable'],
  cli: {
    positionals: ['workspace_id', 'job_id'],
    examples: ['workspace job kill fix-login job-3', 'workspace job kill fix-login job-3 --signal SIGINT'],
  },
})
