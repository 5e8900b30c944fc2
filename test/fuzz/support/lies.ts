/** What a hostile guest does with a request, one lie each. */
import { type Asked, bomb, data, FLAG, fields, frame, headers, settings, TYPE, u32 } from './http2.ts'

export const OK = fields([':status', '200'], ['pyro-cursor', '0'], ['pyro-end', '4'], ['pyro-eof', '1'])
export const honest = ({ stream, say }: Asked): void => {
  say(Buffer.concat([headers(stream, OK), data(stream, Buffer.from('{}  '), FLAG.end)]))
}
const repeated = (one: Buffer, bytes = 65_536) =>
  Buffer.concat(Array.from({ length: Math.max(1, Math.floor(bytes / one.length)) }, () => one))
const length = (value: number) => fields([':status', '200'], ['content-length', String(value)])

export const LIES: Record<string, (asked: Asked) => void> = {
  honest,
  'says nothing': () => {},
  'hangs up': ({ socket }) => socket.destroy(),
  'ends the connection': ({ socket }) => socket.end(),
  'stops reading': ({ socket }) => socket.pause(),
  'oversized frame': ({ stream, say }) => say(data(stream, Buffer.alloc(65_536))),
  'frame of 16 MiB announced': ({ stream, say }) =>
    say(frame(TYPE.data, 0, stream, Buffer.alloc(10), 0xffffff)),
  'oversized headers': ({ stream, say }) =>
    say(headers(stream, fields([':status', '200'], ['x', 'y'.repeat(60_000)]))),
  'many headers': ({ stream, say }) =>
    say(
      headers(
        stream,
        fields([':status', '200'], ...Array.from({ length: 1000 }, () => ['a', 'b'] as [string, string])),
      ),
    ),
  'endless continuation': ({ stream, say, flood }) => {
    say(headers(stream, fields([':status', '200']), FLAG.none))
    flood(() => repeated(frame(TYPE.continuation, FLAG.none, stream, fields(['a', 'b'.repeat(100)]))))
  },
  'endless empty continuation': ({ stream, say, flood }) => {
    say(headers(stream, fields([':status', '200']), FLAG.none))
    flood(() => repeated(frame(TYPE.continuation, FLAG.none, stream, Buffer.alloc(0))))
  },
  'continuation of nothing': ({ stream, say }) => say(frame(TYPE.continuation, FLAG.endHeaders, stream, OK)),
  'frames inside a header block': ({ stream, say }) =>
    say(Buffer.concat([headers(stream, OK, FLAG.none), data(stream, Buffer.from('x'), FLAG.end)])),
  'endless informational heads': ({ stream, flood }) =>
    flood(() => repeated(headers(stream, fields([':status', '103'])))),
  'an informational head now and then': ({ stream, say, socket }) => {
    const timer = setInterval(() => say(headers(stream, fields([':status', '103']))), 15)
    socket.on('close', () => clearInterval(timer))
  },
  'header bomb': ({ stream, say }) => say(headers(stream, bomb('a', 'b'.repeat(3000), 12_000))),
  'broken header block': ({ stream, say, chance }) => say(headers(stream, chance.bytes(64))),
  'head without a status': ({ stream, say }) => say(headers(stream, fields(['a', 'b']))),
  'status that is none': ({ stream, say, chance }) =>
    say(
      headers(stream, fields([':status', chance.pick(['', '0', '99', '1000', 'abc', '-200', '101', '000'])])),
    ),
  'upper case and forbidden fields': ({ stream, say }) =>
    say(headers(stream, fields([':status', '200'], ['Connection', 'x'], ['transfer-encoding', 'chunked']))),
  'request fields in an answer': ({ stream, say }) =>
    say(headers(stream, fields([':method', 'GET'], [':path', '/']))),
  'endless head repeated': ({ stream, say }) => say(repeated(headers(stream, OK), 2000)),
  'less than content-length': ({ stream, say }) =>
    say(Buffer.concat([headers(stream, length(10)), data(stream, Buffer.from('{}'), FLAG.end)])),
  'more than content-length': ({ stream, say }) =>
    say(Buffer.concat([headers(stream, length(1)), data(stream, Buffer.from('{"a":1}'), FLAG.end)])),
  'content-length that is none': ({ stream, say }) =>
    say(headers(stream, fields([':status', '200'], ['content-length', '-1']))),
  'stalled body': ({ stream, say }) =>
    say(Buffer.concat([headers(stream, OK), data(stream, Buffer.from('{'))])),
  'endless body': ({ stream, say, flood }) => {
    say(headers(stream, OK))
    flood(() => repeated(data(stream, Buffer.alloc(16_000))))
  },
  'endless empty body': ({ stream, say, flood }) => {
    say(headers(stream, OK))
    flood(() => repeated(data(stream, Buffer.alloc(0))))
  },
  'body before the head': ({ stream, say }) => say(data(stream, Buffer.from('{}'), FLAG.end)),
  'body after the end': ({ stream, say }) =>
    say(
      Buffer.concat([
        headers(stream, OK),
        data(stream, Buffer.from('{}'), FLAG.end),
        data(stream, Buffer.from('{}')),
      ]),
    ),
  'padding longer than the frame': ({ stream, say }) =>
    say(Buffer.concat([headers(stream, OK), data(stream, Buffer.from([255, 1, 2]), FLAG.padded)])),
  'an answer for a stream nobody opened': ({ stream, say }) =>
    say(Buffer.concat([headers(stream + 2, OK), data(stream + 2, Buffer.from('{}'), FLAG.end)])),
  'an answer for an earlier stream': ({ stream, say }) =>
    say(data(Math.max(1, stream - 2), Buffer.from('{}'), FLAG.end)),
  'an answer on an even stream': ({ say }) => say(headers(2, OK)),
  'an answer on stream 0': ({ say }) => say(headers(0, OK)),
  'a reset': ({ stream, say, chance }) =>
    say(frame(TYPE.reset, 0, stream, u32(chance.pick([0, 2, 7, 8, 11, 99])))),
  'a reset after the head': ({ stream, say, chance }) =>
    say(
      Buffer.concat([
        headers(stream, OK),
        data(stream, Buffer.from('{}')),
        frame(TYPE.reset, 0, stream, u32(chance.pick([0, 8, 5]))),
      ]),
    ),
  'reset storm': ({ stream, flood }) => flood(() => repeated(frame(TYPE.reset, 0, stream, u32(8)))),
  'reset of a wrong length': ({ stream, say }) => say(frame(TYPE.reset, 0, stream, Buffer.alloc(3))),
  goaway: ({ stream, say, chance }) =>
    say(frame(TYPE.goaway, 0, 0, u32(chance.pick([0, stream, 2 ** 31 - 1]), chance.pick([0, 2, 11])))),
  'goaway after the answer': (asked) => {
    honest(asked)
    asked.say(frame(TYPE.goaway, 0, 0, u32(asked.stream, 0)))
  },
  'goaway, and then endless words': (asked) => {
    honest(asked)
    asked.say(frame(TYPE.goaway, 0, 0, u32(asked.stream, 0)))
    asked.flood(() => repeated(frame(TYPE.ping, 0, 0, Buffer.alloc(8))))
  },
  'goaway storm': ({ flood }) => flood(() => repeated(frame(TYPE.goaway, 0, 0, u32(2 ** 31 - 1, 0)))),
  'ping flood': ({ flood }) => flood(() => repeated(frame(TYPE.ping, 0, 0, Buffer.alloc(8)))),
  'ping flood without reading': ({ flood, socket }) => {
    socket.pause()
    flood(() => repeated(frame(TYPE.ping, 0, 0, Buffer.alloc(8))))
  },
  'answers to pings never sent': ({ flood }) =>
    flood(() => repeated(frame(TYPE.ping, FLAG.ack, 0, Buffer.alloc(8)))),
  'settings flood': ({ flood }) => flood(() => repeated(settings([3, 100]))),
  'settings flood without reading': ({ flood, socket }) => {
    socket.pause()
    flood(() => repeated(settings([3, 100])))
  },
  'settings of a wrong length': ({ say }) => say(frame(TYPE.settings, 0, 0, Buffer.alloc(5))),
  'acknowledged settings never sent': ({ flood }) =>
    flood(() => repeated(frame(TYPE.settings, FLAG.ack, 0, Buffer.alloc(0)))),
  'window of nothing': ({ stream, say }) => say(frame(TYPE.window, 0, stream, u32(0))),
  'window beyond its bound': ({ stream, say }) =>
    say(repeated(frame(TYPE.window, 0, stream, u32(2 ** 31 - 1)), 26)),
  'window flood': ({ flood }) => flood(() => repeated(frame(TYPE.window, 0, 0, u32(1)))),
  'window taken back': (asked) => {
    asked.say(settings([4, 0]))
    asked.say(settings([4, 2 ** 31 - 1]))
    honest(asked)
  },
  'a push': ({ stream, say }) =>
    say(
      frame(
        TYPE.push,
        FLAG.endHeaders,
        stream,
        Buffer.concat([u32(2), fields([':method', 'GET'], [':path', '/'])]),
      ),
    ),
  'priority flood': ({ stream, flood }) =>
    flood(() => repeated(frame(TYPE.priority, 0, stream, Buffer.concat([u32(0), Buffer.from([1])])))),
  'alternative services': ({ flood }) =>
    flood(() =>
      repeated(frame(TYPE.altsvc, 0, 0, Buffer.concat([Buffer.from([0, 1]), Buffer.from('ah2=":1"')]))),
    ),
  'unknown frames': ({ flood, chance }) =>
    flood(() => repeated(frame(20 + chance.below(200), 0, 0, Buffer.alloc(100)))),
  'HTTP/1': ({ say }) => say(Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}')),
  trailers: ({ stream, say }) =>
    say(
      Buffer.concat([
        headers(stream, OK),
        data(stream, Buffer.from('{}')),
        headers(stream, fields(['x', 'y']), FLAG.endHeaders | FLAG.end),
      ]),
    ),
  'a trailer that is no reason': ({ stream, say, chance }) =>
    say(
      Buffer.concat([
        headers(stream, OK),
        data(stream, Buffer.from('{}')),
        headers(
          stream,
          fields([
            'pyro-error',
            chance.pick(['', 'x', '{', 'y'.repeat(9000), '{"code":"internal","message":"x"}']),
          ]),
          FLAG.endHeaders | FLAG.end,
        ),
      ]),
    ),
  'endless trailers': ({ stream, say, flood }) => {
    say(Buffer.concat([headers(stream, OK), data(stream, Buffer.from('{}'))]))
    flood(() => repeated(headers(stream, fields(['x', 'y']))))
  },
}

/** What it says of itself before it was asked. */
export const GREETINGS: Buffer[] = [
  settings(),
  settings(),
  settings(),
  settings([3, 0]),
  settings([3, 1]),
  settings([4, 0]),
  settings([4, 2 ** 31]),
  settings([5, 1]),
  settings([5, 16_777_215]),
  settings([1, 0]),
  settings([1, 2 ** 32 - 1]),
  settings([6, 1]),
  settings([2, 1]),
  Buffer.alloc(0),
]
