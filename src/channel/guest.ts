/**
 * The host's half of the channel to one sandbox: control and bulk are connections of their own, so that output never
 * delays a signal. Methods throw guest_unreachable when the sandbox does not answer in time, or lies.
 */
import type { Duplex } from 'node:stream'
import type { z } from 'zod'
import { brokenOff, checked, header, lied, refused } from './answers.ts'
import { type MachineGuest, machineGuest } from './machine.ts'
import { type JobSpec, type JobStatus, jobList, jobStatus, written } from './messages.ts'
import { type WireRequest, wire } from './wire.ts'

const MIB = 1_048_576
/** What an answer may take beyond the time it was told to wait. */
const SLACK_MS = 15_000
export const MAX_OUTPUT_READ = 4 * MIB
/** What a status may take without the output that was asked for. */
const MAX_STATUS = 65_536
const MAX_LIST = 16 * MIB
/** Beyond the grace: commands that do not end are given up, and a disk is written out. */
const STOP_MS = 60_000

export interface OutputPart {
  data: Buffer
  /** Offset of the first byte of data. */
  from: number
  end: number
  eof: boolean
}
export interface Cursors {
  stdout: number
  stderr: number
}
export type StreamName = 'stdout' | 'stderr'

export interface Guest extends MachineGuest {
  /** Waits for the agent: a machine may still be booting. */
  hello: (timeoutMs?: number) => Promise<void>
  /** Whether the other end of the channel is there: a round trip that no handler of the agent has a part in. */
  ping: (timeoutMs?: number) => Promise<void>
  start: (spec: JobSpec, waitMs: number, inlineBytes: number) => Promise<JobStatus>
  jobs: () => Promise<JobStatus[]>
  /** Answers when there is output beyond the cursors (null: output is no reason), when the job has ended, or after waitMs. */
  wait: (job: string, waitMs: number, cursors: Cursors | null, attach: boolean) => Promise<JobStatus>
  output: (job: string, stream: StreamName, cursor: number, max: number) => Promise<OutputPart>
  write: (job: string, data: Buffer, eof: boolean) => Promise<number>
  signal: (job: string, signal: string) => Promise<JobStatus>
  kill: (job: string, graceMs: number) => Promise<JobStatus>
  /** Lets go of an ended job and its output. */
  forget: (job: string) => Promise<void>
  /**
   * Ends every command, at first politely, writes everything out and ends the sandbox. Answers with what became of the
   * commands; whether it has ended, its process tells.
   */
  stop: (graceMs: number) => Promise<JobStatus[]>
  close: () => void
}

/** A new byte stream to the agent, by what it is for. */
export type Dial = (use: 'control' | 'bulk') => Duplex | Promise<Duplex>

export function guest(dial: Dial): Guest {
  const control = wire({
    dial: () => dial('control'),
    refusal: brokenOff,
    streamWindow: 4 * MIB,
    connectionWindow: 16 * MIB,
  })
  const bulk = wire({
    dial: () => dial('bulk'),
    refusal: brokenOff,
    streamWindow: 8 * MIB,
    connectionWindow: 32 * MIB,
  })
  const job = (id: string) => `/v1/jobs/${encodeURIComponent(id)}`

  async function ask<T extends z.ZodType>(
    schema: T,
    request: Partial<WireRequest> & { path: string },
  ): Promise<z.output<T>> {
    const answer = await control.request({
      method: 'GET',
      timeoutMs: SLACK_MS,
      maxBytes: 8 * MIB,
      ...request,
    })
    if (answer.status !== 200) throw refused(answer)
    return checked(schema, answer.body)
  }

  /** A status, and of no other job: what a guest says of one is recorded as that one's end. */
  async function statusOf(
    id: string,
    request: Partial<WireRequest> & { path: string },
    inlineBytes = 0,
  ): Promise<JobStatus> {
    // Twice, for two streams; base64 has four characters for three bytes.
    const maxBytes = MAX_STATUS + 4 * inlineBytes
    const status = await ask(jobStatus, { maxBytes, ...request })
    if (status.id !== id) throw lied('it answers for another job')
    for (const text of [status.inline?.stdout, status.inline?.stderr])
      if (Buffer.byteLength(text ?? '', 'base64') > inlineBytes)
        throw lied('it answers with more output than asked')
    return status
  }

  async function jobsOf(request: Partial<WireRequest> & { path: string }): Promise<JobStatus[]> {
    const { jobs } = await ask(jobList, { maxBytes: MAX_LIST, ...request })
    if (new Set(jobs.map(({ id }) => id)).size !== jobs.length) throw lied('it lists a job twice')
    return jobs
  }

  return {
    ...machineGuest(ask, bulk),
    async hello(timeoutMs = SLACK_MS) {
      const answer = await control.request({
        method: 'GET',
        path: '/v1/hello',
        timeoutMs,
        maxBytes: 65_536,
      })
      if (answer.status !== 200) throw refused(answer)
    },
    ping: (timeoutMs = SLACK_MS) => control.ping(timeoutMs),
    start: (spec, waitMs, inline) =>
      statusOf(
        spec.id,
        {
          method: 'POST',
          path: `/v1/jobs?wait_ms=${waitMs}&inline=${inline}`,
          body: JSON.stringify(spec),
          timeoutMs: waitMs + SLACK_MS,
        },
        inline,
      ),
    jobs: () => jobsOf({ path: '/v1/jobs' }),
    wait: (id, waitMs, cursors, attach) =>
      statusOf(id, {
        path: `${job(id)}?wait_ms=${waitMs}${cursors ? `&stdout=${cursors.stdout}&stderr=${cursors.stderr}` : ''}&attach=${attach ? 1 : 0}`,
        timeoutMs: waitMs + SLACK_MS,
      }),
    async output(id, stream, cursor, max) {
      const most = Math.min(max, MAX_OUTPUT_READ)
      const path = `${job(id)}/output?stream=${stream}&cursor=${cursor}&max=${most}`
      const answer = await bulk.request({ method: 'GET', path, timeoutMs: SLACK_MS, maxBytes: most })
      if (answer.status !== 200) throw refused(answer)
      const from = header(answer, 'pyro-cursor')
      const end = header(answer, 'pyro-end')
      if (from < cursor || from + answer.body.length > end) throw lied('its offsets contradict each other')
      return { data: answer.body, from, end, eof: answer.headers['pyro-eof'] === '1' }
    },
    async write(id, data, eof) {
      const path = `${job(id)}/stdin?eof=${eof ? 1 : 0}`
      const taken = (await ask(written, { method: 'POST', path, body: data })).written
      if (taken > data.length) throw lied('it took more than it was given')
      return taken
    },
    signal: (id, signal) =>
      statusOf(id, { method: 'POST', path: `${job(id)}/signal`, body: JSON.stringify({ signal }) }),
    kill: (id, graceMs) =>
      statusOf(id, {
        method: 'POST',
        path: `${job(id)}/kill`,
        body: JSON.stringify({ grace_ms: graceMs }),
        timeoutMs: graceMs + SLACK_MS,
      }),
    async forget(id) {
      const answer = await control.request({
        method: 'DELETE',
        path: job(id),
        timeoutMs: SLACK_MS,
        maxBytes: 65_536,
      })
      if (answer.status >= 300) throw refused(answer)
    },
    stop: (graceMs) =>
      jobsOf({
        method: 'POST',
        path: '/v1/stop',
        body: JSON.stringify({ grace_ms: graceMs }),
        timeoutMs: graceMs + STOP_MS,
      }),
    close() {
      control.close()
      bulk.close()
    },
  }
}
