/** Answers: one JSON value, or with `accept: application/x-ndjson` lines of progress and a last one with the result. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { ERRORS, type PyroError } from '../../contract/errors.ts'
import type { Progress } from '../../contract/table.ts'

export const NDJSON = 'application/x-ndjson'
/** What may wait for a reader that does not read; progress beyond it is left out. */
const MAX_UNREAD_BYTES = 1_048_576

export interface Reply {
  progress: (progress: Progress) => void
  result: (output: unknown) => void
  error: (error: PyroError) => void
  /** Tells of a caller that does not wait for the answer any more. */
  gone: (tell: () => void) => void
  /** No further call shall come the same way. */
  last: () => void
}

export function replyTo(request: IncomingMessage, response: ServerResponse): Reply {
  const accept = request.headers.accept
  return {
    ...(accept?.includes(NDJSON) ? lines(request, response) : single(request, response)),
    gone(tell) {
      response.once('close', () => {
        if (!response.writableFinished) tell()
      })
    },
    last() {
      if (!response.headersSent) response.setHeader('connection', 'close')
    },
  }
}

type Told = Pick<Reply, 'progress' | 'result' | 'error'>

function single(request: IncomingMessage, response: ServerResponse): Told {
  return {
    progress() {},
    result: (output) => send(response, 200, JSON.stringify(output)),
    error: (error) => refuse(request, response, error),
  }
}

function lines(request: IncomingMessage, response: ServerResponse): Told {
  const begin = () => {
    if (!response.headersSent) response.writeHead(200, { 'content-type': NDJSON })
  }
  return {
    progress(progress) {
      if (response.writableLength > MAX_UNREAD_BYTES) return
      begin()
      response.write(`${JSON.stringify({ progress })}\n`)
    },
    result(output) {
      begin()
      response.end(`${JSON.stringify({ result: output })}\n`)
    },
    error(error) {
      // Before the first line there is still a status to say it with.
      if (response.headersSent) response.end(`${JSON.stringify({ error: error.toBody() })}\n`)
      else refuse(request, response, error)
    },
  }
}

/** Answers with the error's status. A body that was not read ends the connection with it. */
export function refuse(request: IncomingMessage, response: ServerResponse, error: PyroError): void {
  if (response.writableEnded || response.destroyed) return
  if (!request.complete) {
    response.setHeader('connection', 'close')
    response.once('finish', () => request.destroy())
  }
  send(response, ERRORS[error.code].http, JSON.stringify({ error: error.toBody() }))
}

function send(response: ServerResponse, status: number, body: string): void {
  response
    .writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) })
    .end(body)
}
