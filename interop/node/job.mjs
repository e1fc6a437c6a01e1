// What the peers share: the job is the first line of standard input, what they
// have to tell is one JSON object a line on standard output.
import readline from 'node:readline'

const lines = readline.createInterface({ input: process.stdin })
lines.once('close', () => process.exit()) // the test has ended

export const job = await new Promise(resolve => lines.once('line', line => resolve(JSON.parse(line))))

export const tell = what => process.stdout.write(JSON.stringify(what) + '\n')

export const finish = () => process.stdout.write('', () => process.exit())
