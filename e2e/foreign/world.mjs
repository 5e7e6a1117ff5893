// What the scripts share. Each drives a server by one library as its users would: reads the world as JSON from standard input, and prints
// one line of JSON per check: {"check": name, "error": text or null}.
import { text } from 'node:stream/consumers'

globalThis.crypto ??= (await import('node:crypto')).webcrypto // Node 18 has it only as a module

export const world = JSON.parse(await text(process.stdin))

export async function check(name, run) {
  let error = null
  try {
    await run()
  } catch (e) {
    error = e.stack + (e.cause === undefined ? '' : `\ncause: ${JSON.stringify(e.cause)}`)
  }
  console.log(JSON.stringify({ check: name, error }))
}
