// A replica of one zone in Node's stock gRPC packages, over the .proto files alone: copies the zone, watches it, fetches
// what has changed after each word of a change, and says in a line of JSON what it holds then.
//
//   node replica.js ADDRESS CONTAINER USER ZONE FOLDER...      FOLDERs are where the .proto files are
//
// On its standard input, `write` lets it save a record in a transaction, and `watch` watch the zone again.
'use strict'

const readline = require('node:readline')
const grpc = require('@grpc/grpc-js')
const protoLoader = require('@grpc/proto-loader')

const [address, container, user, zoneName, ...folders] = process.argv.slice(2)
const loaded = protoLoader.loadSync(
  ['recordlayer/v1/sync.proto', 'recordlayer/v1/records.proto', 'recordlayer/v1/transactions.proto',
    'recordlayer/v1/errors.proto', 'google/rpc/error_details.proto'],
  { includeDirs: folders, keepCase: true, longs: String, enums: String, oneofs: true, defaults: true })
const { v1 } = grpc.loadPackageDefinition(loaded).recordlayer
const credentials = grpc.credentials.createInsecure()
const options = { 'grpc.enable_http_proxy': 0 }
const sync = new v1.Sync(address, credentials, options)
const transactions = new v1.Transactions(address, credentials, options)

const context = { container, database: { scope: 'PRIVATE', user } }
const zone = { name: zoneName }
const held = new Map()
let token = Buffer.alloc(0)

function say (event, values = {}) {
  process.stdout.write(JSON.stringify({ event, ...values }) + '\n')
}

function call (client, method, request) {
  return new Promise((resolve, reject) => {
    const deadline = new Date(Date.now() + 30_000)
    client[method](request, { deadline }, (error, reply) => error ? reject(error) : resolve(reply))
  })
}

// The reason in a status: that of its google.rpc.ErrorInfo, which is what programs go by.
function reasonOf (status) {
  const info = loaded['google.rpc.ErrorInfo']
  for (const detail of status.details) {
    if (detail.type_url.endsWith('/google.rpc.ErrorInfo')) return info.deserialize(detail.value).reason
  }
  return ''
}

async function fetchChanges () {
  for (;;) {
    const reply = await call(sync, 'ZoneChanges', { context, zones: [{ zone, token }], limit: 2 })
    const [one] = reply.zones
    if (one.status && one.status.code) {
      const reason = reasonOf(one.status)
      say('refused', { code: one.status.code, reason })
      held.clear()
      token = Buffer.alloc(0)
      if (reason === 'TOKEN_EXPIRED') continue
      return
    }
    for (const record of one.records) {
      if (record.deleted) held.delete(record.name.name)
      else held.set(record.name.name, record.fields.fields.title.string_value)
    }
    token = one.token
    if (!one.more_coming) break
  }
  say('holds', { records: Object.fromEntries([...held].sort()) })
}

// One record in a transaction of two steps.
function transact () {
  return new Promise((resolve, reject) => {
    const stream = transactions.Transact()
    const name = { zone, name: 'by node' }
    stream.on('error', reject)
    stream.on('data', reply => {
      if (reply.kind === 'begun') {
        const fields = { fields: { title: { string_value: 'written' } } }
        const record = { name, record_type: 'Photo', fields }
        stream.write({ sequence: 2, modify: { operations: [{ type: 'CREATE', record }] } })
      } else if (reply.kind === 'modify') {
        stream.write({ sequence: 3, commit: {} })
      } else if (reply.kind === 'committed') {
        stream.end()
        resolve(reply.committed.records[0].change_tag.toString('hex'))
      }
    })
    stream.write({ sequence: 1, begin: { context } })
  })
}

async function main () {
  await fetchChanges()
  const watch = sync.Watch()
  let working = Promise.resolve()
  watch.on('error', error => {
    say('ended', { code: error.code, text: error.details })
    process.exit(error.code === grpc.status.UNAVAILABLE ? 0 : 1)
  })
  watch.on('data', reply => {
    if (reply.kind === 'added') {
      say('watching')
    } else if (reply.kind === 'changed' || reply.kind === 'reset') {
      working = working.then(fetchChanges) // one after the other
    } else if (reply.kind === 'removed') {
      say('removed', { reason: reasonOf(reply.removed.status) })
    }
  })
  watch.write({ open: { context } })
  watch.write({ add: { target: '1', zone, token } })
  readline.createInterface({ input: process.stdin }).on('line', async line => {
    if (line === 'write') say('wrote', { tag: await transact() })
    else watch.write({ add: { target: '2', zone, token } })
  })
  process.stdin.on('end', () => process.exit(0))
}

main().catch(error => { console.error(error); process.exit(1) })
