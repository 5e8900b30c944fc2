// The OpenAPI document: valid by a validator that is not ours, and true: what it says of inputs and answers is what a real
// engine takes and gives. Inputs are made from the document alone.
import { Validator } from '@seriousme/openapi-schema-validator'
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { OPERATIONS } from '../../src/contract/table.ts'
import { openApi } from '../../src/surface/http/openapi.ts'
import { removeFolder, startEngine, type TestEngine } from '../support/engine.ts'

type Json = Record<string, unknown>
interface Described {
  requestBody: {
    content: { 'application/json': { schema: Json & { properties?: Json; required?: string[] } } }
  }
  responses: Record<string, { content: { 'application/json': { schema: Json } } }>
}
interface Document {
  openapi: string
  paths: Record<string, { post: Described }>
  components: Json
}

let engine: TestEngine
let url: string
let token: string
let document: Document

beforeAll(async () => {
  engine = await startEngine()
  url = (await engine.call('daemon_listen', { address: '127.0.0.1:0' })).url!
  token = (await engine.call('daemon_token', {})).token
  const answer = await fetch(`${url}/openapi.json`, { headers: { authorization: `Bearer ${token}` } })
  expect(answer.headers.get('content-type')).toBe('application/json')
  document = (await answer.json()) as Document
}, 30_000)
afterAll(async () => {
  await engine.stop()
  removeFolder(engine.folder)
})

test('the document is valid OpenAPI 3.1', async () => {
  const validator = new Validator()
  const { valid, errors } = await validator.validate(structuredClone(openApi('1.2.3')))
  expect(errors).toBeUndefined()
  expect([valid, validator.version]).toEqual([true, '3.1'])
  const broken = structuredClone(openApi('1.2.3')) as unknown as Document
  delete (broken.paths['/v1/env_list']!.post as unknown as Json)['responses']
  ;(broken as unknown as Json)['paths'] = { 'no-slash': broken.paths }
  expect((await new Validator().validate(broken as never)).valid).toBe(false)
})

test('what is served is the document of the contract', () => {
  const { version } = (document as unknown as { info: { version: string } }).info
  expect(document).toEqual(JSON.parse(JSON.stringify(openApi(version))))
  expect(Object.keys(document.paths)).toEqual(Object.keys(OPERATIONS).map((name) => `/v1/${name}`))
})

/** Values of every kind: what the document says of each decides what has to happen. */
const PROBES = [
  null,
  true,
  0,
  -1,
  1.5,
  1e15,
  '',
  'x',
  '/x',
  'y\0',
  'z'.repeat(200_000),
  [],
  {},
  ['x'],
  [1],
  { a: 1 },
  { a: 'b' },
]

/** What an input needs at least, naming nothing that exists: no call below changes anything. */
const NOWHERE: Json = {
  environment: 'nothing',
  workspace_id: 'nobody',
  job_id: 'job-1',
  command: ['true'],
  path: 'a',
  seed_path: '/nothing/here',
  output_path: '/nothing/here/either',
  data: 'x',
}

test('a real engine takes and gives what the document says', async () => {
  const ajv = new Ajv2020({ strict: false, validateFormats: false })
  ajv.addSchema({ $id: 'document', components: document.components })
  const compile = (schema: Json): ValidateFunction =>
    ajv.compile(JSON.parse(JSON.stringify(schema).replaceAll('"#/components', '"document#/components')))
  const wrong: string[] = []
  const seen: Record<string, number> = {}

  for (const [path, { post }] of Object.entries(document.paths)) {
    const schema = post.requestBody.content['application/json'].schema
    const takes = compile(schema)
    const gives = new Map(
      Object.entries(post.responses).map(([status, { content }]) => [
        status,
        compile(content['application/json'].schema),
      ]),
    )
    const fields = Object.keys(schema.properties ?? {})
    const least = Object.fromEntries(
      fields.filter((field) => field in NOWHERE).map((field) => [field, NOWHERE[field]]),
    )
    const inputs: unknown[] = [
      least,
      null,
      [],
      'text',
      { ...least, no_such_field: 1 },
      ...(schema.required ?? []).map((field) => ({ ...least, [field]: undefined })),
      ...fields.flatMap((field) => PROBES.map((probe) => ({ ...least, [field]: probe }))),
    ]
    for (const input of inputs) {
      const text = JSON.stringify(input)
      const answer = await fetch(`${url}${path}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: text,
      })
      const body = (await answer.json()) as { error?: { code: string } }
      const status = String(answer.status)
      seen[status] = (seen[status] ?? 0) + 1
      const fits = gives.get(status)
      const said = `${path} ${text.slice(0, 120)} → ${status} ${JSON.stringify(body).slice(0, 200)}`
      if (fits === undefined) wrong.push(`not described: ${said}`)
      else if (!fits(body)) wrong.push(`${ajv.errorsText(fits.errors)}: ${said}`)
      const local = (OPERATIONS as Record<string, { localOnly?: boolean }>)[path.slice(4)]!.localOnly === true
      if (!local && !takes(JSON.parse(text)) && body.error?.code !== 'invalid_input')
        wrong.push(`taken: ${said}`)
      if (local && body.error?.code !== 'local_only') wrong.push(`not refused: ${said}`)
      if (status === '500') wrong.push(said)
    }
  }
  expect(wrong).toEqual([])
  for (const status of ['200', '400', '403', '404']) expect(seen[status], status).toBeGreaterThan(0)
  expect((await engine.call('workspace_list', {})).workspaces).toEqual([])
}, 120_000)
