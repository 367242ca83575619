// An edge node of Sparkplug B by Eclipse Tahu: sparkplug-client and sparkplug-payload from npm.
// Arguments: server URL, group, node. Each line on the standard input is an order, {"do": …}; each line on
// the standard output an event, {"event": …}: connect, birth (it was told to give its births), ncmd, done.
"use strict";

const path = require("node:path");
const readline = require("node:readline");

const modules = path.join(__dirname, "..", "npm", "node_modules");
const sparkplug = require(path.join(modules, "sparkplug-client"));

const [serverUrl, groupId, edgeNode] = process.argv.slice(2);
const say = (event, more = {}) => process.stdout.write(`${JSON.stringify({ event, ...more })}\n`);

const client = sparkplug.newClient({
  serverUrl, groupId, edgeNode, username: "", password: "", clientId: `edge-${edgeNode}`, version: "spBv1.0",
  keepalive: 10,
});

client.on("connect", () => say("connect"));
client.on("birth", () => say("birth"));
client.on("ncmd", (payload) => say("ncmd", { metrics: payload.metrics.map((each) => [each.name, each.value]) }));
client.on("error", (error) => say("error", { text: String(error) }));

// What JSON cannot hold: bytes as {"base64": …}.
function revived(key, value) {
  return value !== null && typeof value === "object" && "base64" in value ? Buffer.from(value.base64, "base64") : value;
}

const orders = {
  nbirth: ({ payload }) => client.publishNodeBirth(payload),
  dbirth: ({ device, payload }) => client.publishDeviceBirth(device, payload),
  ndata: ({ payload }) => client.publishNodeData(payload),
  ddata: ({ device, payload, options }) => client.publishDeviceData(device, payload, options),
  ddeath: ({ device, payload }) => client.publishDeviceDeath(device, payload),
  stop: () => client.stop(),
  vanish: () => process.exit(0), // without a word: the broker sends the will
};

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const order = JSON.parse(line, revived);
  orders[order.do](order);
  say("done", { do: order.do });
});
