// Reads [{secret, headers, body}, …] from standard input, and fails unless the standardwebhooks package accepts each one,
// and none of them with another body.
import { text } from "node:stream/consumers";
import { Webhook } from "standardwebhooks";

const requests = JSON.parse(await text(process.stdin));
for (const { secret, headers, body } of requests) {
  const webhook = new Webhook(secret);
  webhook.verify(body, headers, { jsonParse: false });
  let forged = true;
  try {
    webhook.verify(`${body} `, headers, { jsonParse: false });
  } catch {
    forged = false;
  }
  if (forged) throw new Error(`another body is accepted for ${headers["webhook-id"]}`);
}
console.log(`${requests.length} accepted`);
