// Receives by simple-hl7's tcp server, which parses each message and builds the ACK.
import hl7 from 'simple-hl7'
import { job, tell } from './job.mjs'

const app = hl7.tcp()
app.use((req, res, next) => {
  const family = req.msg.getSegment('PID').getComponent(5, 1)
  tell({ id: req.msg.header.getField(8), family, length: req.raw.length - 3 })
  if (family === 'REFUSED') res.ack.getSegment('MSA').setField(1, 'AE')
  res.end()
})
app.use((err, req, res, next) => tell({ error: String(err) }))

// The port goes to net.Server.listen as it is, which takes an object too; given a number
// it would listen on every interface.
const { server } = app.start({ host: '127.0.0.1', port: 0 }, job.charset === 'iso-8859-1' ? 'latin1' : 'utf-8')
server.on('listening', () => tell({ port: server.address().port }))
