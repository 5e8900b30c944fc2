import { z } from 'zod'
import { listener } from '../fields.ts'
import { operation } from '../operation.ts'

const hostName = z
  .string()
  .regex(
    /^([a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?|\[[0-9a-f:.]+\])$/,
    'a name or an address in lower case, without a port',
  )
const origin = z
  .string()
  .max(512)
  .regex(
    /^[a-z][a-z0-9+.-]*:\/\/[^\s/?#@*"\\]+$/,
    'scheme://host or scheme://host:port, as a browser sends it',
  )

export default operation({
  name: 'daemon_listen',
  command: ['daemon', 'listen'],
  sdk: 'listenDaemon',
  tool: null,
  summary: 'Serve the API and MCP over HTTP, or stop doing so.',
  description:
    'Off unless asked for. Every request needs the token of pyro daemon token. The setting is remembered: engines to come ' +
    'listen too, and stay while they do. What is not given stays as it was. There is no TLS: from another machine, use a ' +
    'tunnel (ssh -L) to the loopback address.',
  input: z
    .object({
      address: z
        .string()
        .min(1)
        .max(64)
        .optional()
        .describe(
          'HOST:PORT or PORT, with an address of this machine or localhost as HOST; port 0 takes a free one and keeps it. ' +
            'Default: the address of before, at first 127.0.0.1:7796.',
        ),
      allowed_hosts: z
        .array(hostName)
        .max(64)
        .optional()
        .describe('Name that a Host header may hold, e.g. of a tunnel or a proxy.'),
      allowed_origins: z
        .array(origin)
        .max(64)
        .optional()
        .describe('Origin of a web page that may ask, e.g. https://example.org. No page may otherwise.'),
      allow_remote: z
        .boolean()
        .default(false)
        .describe(
          'Take an address that is not loopback: unencrypted, for whoever reaches it and has the token.',
        ),
      off: z.boolean().default(false).describe('Listen no more, and forget the setting.'),
    })
    .strict(),
  output: listener.extend({
    token_file: z.string().describe('File of mode 0600 that holds the token.'),
    warnings: z.array(z.string()),
  }),
  effects: { readOnly: false, destructive: false, idempotent: true },
  localOnly: true,
  errors: ['local_only', 'address_unavailable', 'home_unsuitable', 'disk_full'],
  cli: {
    positionals: ['address'],
    flags: { allowed_hosts: 'allow-host', allowed_origins: 'allow-origin' },
    examples: [
      'daemon listen',
      'daemon listen 127.0.0.1:7800 --allow-origin https://example.org',
      'daemon listen --off',
    ],
  },
})
