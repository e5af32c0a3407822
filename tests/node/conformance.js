// The cases of tests/conformance in Node's stock gRPC packages, over the .proto files alone. README.md there says what
// is meant; what is read here is the same in JSON, on the standard input: [{suite, name, steps}].
//
//   node conformance.js ADDRESS FOLDER...      FOLDERs are where the .proto files are
//
// A line of JSON for each case: {name, differences}.
'use strict'

const crypto = require('node:crypto')
const fs = require('node:fs')
const grpc = require('@grpc/grpc-js')
const protoLoader = require('@grpc/proto-loader')

const [address, ...folders] = process.argv.slice(2)
const files = ['records', 'zones', 'sync', 'errors'].map(name => `recordlayer/v1/${name}.proto`)
const loaded = protoLoader.loadSync([...files, 'google/rpc/error_details.proto', 'google/rpc/code.proto', 'google/rpc/status.proto'],
  { includeDirs: folders, keepCase: true, longs: String, enums: String, oneofs: true, defaults: false })
const { v1 } = grpc.loadPackageDefinition(loaded).recordlayer
const clients = new Map()
const details = name => loaded[`google.rpc.${name}`]
const code = number => Object.keys(grpc.status).find(name => grpc.status[name] === number)

function client (service) {
  if (!clients.has(service)) {
    clients.set(service, new v1[service](address, grpc.credentials.createInsecure(), { 'grpc.enable_http_proxy': 0 }))
  }
  return clients.get(service)
}

const isMap = value => typeof value === 'object' && value !== null && !Array.isArray(value) && !Buffer.isBuffer(value)
const isEmpty = value => value === undefined || value === null || value === '' || value === 0 || value === '0' ||
  value === false || (value.length === 0) || (isMap(value) && Object.keys(value).length === 0)
const plain = value => Buffer.isBuffer(value) ? value.toString('base64') : value

class Judge {
  constructor (kept = new Map()) {
    this.kept = kept
  }

  filled (written) {
    if (Array.isArray(written)) return written.map(one => this.filled(one))
    if (isMap(written)) return Object.fromEntries(Object.entries(written).map(([name, one]) => [name, this.filled(one)]))
    return typeof written === 'string' && written.startsWith('$') ? this.kept.get(written) : written
  }

  differences (written, given, where) {
    const found = plain(given)
    if (written === '$any') return isEmpty(found) ? [`${where}: there is nothing`] : []
    if (written === '$absent') return isEmpty(found) ? [] : [`${where}: ${JSON.stringify(found)} is there`]
    if (typeof written === 'string' && written.startsWith('$')) {
      if (this.kept.has(written)) return this.kept.get(written) === found ? [] : [`${where}: ${found} is not ${written}`]
      this.kept.set(written, found)
      return isEmpty(found) ? [`${where}: there is nothing to keep as ${written}`] : []
    }
    if (isMap(written)) {
      if ('$not' in written) {
        const same = new Judge(new Map(this.kept)).differences(written.$not, found, where).length === 0
        return same ? [`${where}: ${found} is what it must not be`] : []
      }
      if ('$set' in written) {
        const unset = found === undefined || found === null ? [`${where}: it is not set`] : []
        return unset.concat(this.differences(written.$set, found, where))
      }
      return Object.entries(written).flatMap(([name, value]) => {
        const inner = isMap(found) ? found[name] : undefined
        const inside = `${where}.${name}`
        return ['status', 'others'].includes(name) ? this.ofStatus(value, inner, inside) : this.differences(value, inner, inside)
      })
    }
    if (Array.isArray(written)) {
      const items = found || []
      const length = items.length === written.length ? [] : [`${where}: ${items.length} elements and not ${written.length}`]
      return length.concat(written.slice(0, items.length).flatMap((one, at) => this.differences(one, items[at], `${where}[${at}]`)))
    }
    const same = (isEmpty(written) && isEmpty(found)) || written === found || (typeof written !== 'boolean' && String(written) === String(found))
    return same ? [] : [`${where}: ${JSON.stringify(found)} and not ${JSON.stringify(written)}`]
  }

  ofStatus (written, found, where) {
    const of = name => (found?.details || []).find(one => one.type_url.endsWith(`/google.rpc.${name}`))
    const info = of('ErrorInfo') ? details('ErrorInfo').deserialize(of('ErrorInfo').value) : {}
    const told = {
      code: code(found?.code || 0),
      reason: info.reason || '',
      retry: of('RetryInfo') !== undefined,
      metadata: info.metadata || {}
    }
    return this.differences(written, told, `${where} '${found?.message || ''}'`)
  }
}

function ask (method, request) {
  const [service, name] = method.split('/')
  const deadline = new Date(Date.now() + 30_000)
  return new Promise(resolve => {
    if (!client(service)[name].responseStream) {
      client(service)[name](request, { deadline }, (error, reply) => resolve(error ? { error } : { replies: [reply] }))
      return
    }
    const replies = []
    const stream = client(service)[name](request, { deadline })
    stream.on('data', reply => replies.push(reply))
    stream.on('error', error => resolve({ error }))
    stream.on('end', () => resolve({ replies }))
  })
}

function statusOf (error) {
  const [data] = error.metadata.get('grpc-status-details-bin')
  return data ? loaded['google.rpc.Status'].deserialize(data) : { code: error.code, message: error.details }
}

async function run (one) {
  const judge = new Judge()
  const context = { container: 'conformance', database: { scope: 'PRIVATE', user: crypto.randomUUID() } }
  for (const [number, step] of one.steps.entries()) {
    const where = `step ${number + 1}, ${step.call}`
    const said = judge.filled(step.request || {})
    const { error, replies } = await ask(step.call, { ...said, context: { ...context, ...said.context } })
    let differences = []
    if (error && !step.status) differences = [String(error)]
    else if (error) differences = judge.ofStatus(step.status, statusOf(error), 'status')
    else if (step.status) differences = ['it is well, and should not be']
    else if (step.reply || step.replies) differences = judge.differences(step.replies || [step.reply], replies, 'reply')
    if (differences.length) return differences.map(text => `${where}: ${text}`)
  }
  return []
}

async function main () {
  for (const one of JSON.parse(fs.readFileSync(0, 'utf8'))) {
    process.stdout.write(JSON.stringify({ name: `${one.suite}: ${one.name}`, differences: await run(one) }) + '\n')
  }
  for (const each of clients.values()) each.close()
}

main()
