// Receives by node-hl7-server, which parses each message and builds the ACK.
import fs from 'node:fs'
import net from 'node:net'
import { Server } from 'node-hl7-server'
import { job, tell } from './job.mjs'

// The server gives its bindAddress under a name that Node.js does not know, and would
// listen on every interface.
const listen = net.Server.prototype.listen
net.Server.prototype.listen = function (options, ready) {
  return listen.call(this, { ...options, host: '127.0.0.1' }, ready)
}

const tls = job.cert ? { tls: { cert: fs.readFileSync(job.cert), key: fs.readFileSync(job.key) } } : {}
const encoding = job.charset === 'iso-8859-1' ? 'latin1' : 'utf-8'

const inbound = new Server({ bindAddress: '127.0.0.1', ...tls }).createInbound({ port: 0, encoding }, async (req, res) => {
  const m = req.getMessage()
  const family = m.get('PID.5.1').toString()
  tell({ id: m.get('MSH.10').toString(), family, length: m.toString().length })
  await res.sendResponse(family === 'REFUSED' ? 'AE' : 'AA')
})
inbound.on('data.error', err => tell({ error: String(err) }))
inbound.on('listen', () => tell({ port: inbound._socket.address().port }))
