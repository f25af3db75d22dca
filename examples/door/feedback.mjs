// What a user said of an answer, sent from Node through the HTTP door; no package is needed.
//   FLYWHEEL_URL=http://127.0.0.1:4318 FLYWHEEL_TOKEN=fly_… node feedback.mjs RESPONSE_ID 0 "wrong day"
import { randomUUID } from 'node:crypto'

const [response_id, value, comment] = process.argv.slice(2)
const feedback = [{ id: randomUUID(), response_id, kind: 'thumb', value: Number(value) }]
if (comment) feedback.push({ id: randomUUID(), response_id, kind: 'comment', text: comment })

for (let attempt = 1; ; attempt++) {
  const answer = await fetch(`${process.env.FLYWHEEL_URL}/v1/feedback`, {
    method: 'POST',
    headers: { Authorization: `Bearer ${process.env.FLYWHEEL_TOKEN}`, 'Content-Type': 'application/json' },
    body: JSON.stringify(feedback), // the same ids each time: sent twice is said once
  })
  console.log(answer.status, await answer.text())
  if (answer.status !== 503 || attempt === 5) process.exit(answer.ok ? 0 : 1)
  await new Promise((wake) => setTimeout(wake, 1000 * Number(answer.headers.get('retry-after') ?? 1)))
}
