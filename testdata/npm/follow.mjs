// Follows the event stream at a URL with the eventsource package, and prints each event as a line of JSON.
import { EventSource } from "eventsource";

const source = new EventSource(process.argv[2]);
for (const name of ["message", "_base64", "_stream"]) {
  source.addEventListener(name, (e) => {
    console.log(JSON.stringify({ id: e.lastEventId, event: name === "message" ? "" : name, data: e.data }));
  });
}
source.onerror = (e) => {
  console.error(e.message);
  if (source.readyState === EventSource.CLOSED) process.exit(1);
};
