// Sends by simple-hl7's TcpClient and reads the answers by its Parser.
import hl7 from 'simple-hl7'
import { finish, job, tell } from './job.mjs'

const connect = () => hl7.Server.createTcpClient({ host: job.host, port: job.port, keepalive: job.keep })

const read = ack => {
  const msa = ack.getSegment('MSA')
  const pid = ack.getSegment('PID')
  const ids = pid ? pid.fields[2].value : []
  const number = ids.at(-1)?.value // a repetition is a field, a single value a list of components
  return {
    ack: msa.getField(1), id: msa.getField(2), text: msa.getField(3),
    number: pid ? (number?.[0] ?? ids[0])[0].toString() : '',
    family: pid ? pid.getComponent(5, 1) : ''
  }
}

let client = connect()
for (const text of job.messages) {
  await new Promise(resolve => {
    client.send(new hl7.Parser().parse(text), (err, ack) => {
      tell(err ? { error: String(err) } : read(ack))
      resolve()
    })
  })
  if (!job.keep) client = connect()
}
client.close()
finish()
