// Run by: node --test, with MODULE (the path of tallystick.js) and STAND (JSON) in the environment.
import test from 'node:test'
import { scenarios } from './scenarios.mjs'

const module = await import(process.env.MODULE)
const stand = JSON.parse(process.env.STAND)

for (const [name, run] of Object.entries(scenarios)) {
  test(name, async () => {
    await fetch(stand.gate + '/gate/reset', { method: 'POST' })
    await run(module, stand)
  })
}
