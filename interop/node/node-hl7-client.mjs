// Sends by node-hl7-client and reads the answers by its Message.
import fs from 'node:fs'
import { Client, Message } from 'node-hl7-client'
import { finish, job, tell } from './job.mjs'

const tls = job.ca ? { tls: { ca: fs.readFileSync(job.ca) } } : {}
const encoding = job.charset === 'iso-8859-1' ? 'latin1' : 'utf-8'

// The client makes no connection between an answer and its message: they are in order.
let answered
const connect = () => new Promise(resolve => {
  const connection = new Client({ host: job.host, ...tls })
    .createConnection({ port: job.port, encoding }, res => answered(res))
  connection.on('data.error', err => { tell({ error: String(err) }); answered() })
  connection.once('connect', () => resolve(connection))
})

// read asks for what may be absent behind a try: some paths to nothing throw.
const read = m => {
  const get = of => { try { return of().toString() } catch { return '' } }
  const field = path => get(() => m.get(path))
  return {
    ack: field('MSA.1'), id: field('MSA.2'), text: field('MSA.3'), family: field('PID.5.1'),
    number: get(() => m.get('PID.3').toArray().at(-1)) // PID.3[1] means the first one, too
  }
}

let connection
for (const text of job.messages) {
  connection ??= await connect()
  const answer = new Promise(resolve => { answered = resolve })
  await connection.sendMessage(new Message({ text }))
  const res = await answer
  if (res) tell(read(res.getMessage()))
  if (!job.keep) {
    await connection.close()
    connection = undefined
  }
}
await connection?.close()
finish()
