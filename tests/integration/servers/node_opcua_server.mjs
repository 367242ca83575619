// An OPC UA server from npm (node-opcua) with its conformance address space and items that count.
//
// usage: node node_opcua_server.mjs PORT DIRECTORY RUN ITEMS PERIOD_MS conformance|counters
//
// In the namespace urn:holdfast:counters, item s=c0 … is a Double that counts up by one each period, all at
// once, beginning at RUN × 1,000,000: so every change of every start of the server can be told. `counters`
// leaves the conformance address space out, which takes seconds to build. Prints {"port": …} when it listens.
// DIRECTORY keeps its certificate between two starts.
import path from "node:path";
import { createRequire } from "node:module";
import { fileURLToPath, pathToFileURL } from "node:url";

const here = path.dirname(fileURLToPath(import.meta.url));
const require = createRequire(path.join(here, "..", "npm", "package.json"));
console.log = console.warn = () => {};  // the library is talkative, and standard output is the test's
const {
  OPCUAServer, OPCUACertificateManager, DataType, MessageSecurityMode, SecurityPolicy, Variant, nodesets,
} = await import(pathToFileURL(require.resolve("node-opcua")).href);

const [port, , run, items, period] = process.argv.slice(2).map(Number);
const directory = process.argv[3];
const serverCertificateManager = new OPCUACertificateManager({
  rootFolder: path.join(directory, "pki"), automaticallyAcceptUnknownCertificate: true,
});
await serverCertificateManager.initialize();
const server = new OPCUAServer({
  port,
  hostname: "127.0.0.1",
  nodeset_filename: [nodesets.standard],
  serverCertificateManager,
  securityPolicies: [SecurityPolicy.None, SecurityPolicy.Basic256Sha256],
  securityModes: [MessageSecurityMode.None, MessageSecurityMode.SignAndEncrypt],
  serverCapabilities: { maxSessions: 100, maxMonitoredItemsPerCall: 1000, maxNodesPerRead: 1000 },
});
await server.initialize();
const space = server.engine.addressSpace;
if (process.argv[7] === "conformance") {
  const built = pathToFileURL(require.resolve("node-opcua-address-space-for-conformance-testing")).href;
  await (await import(built)).build_address_space_for_conformance_testing(space, {});
}
const namespace = space.registerNamespace("urn:holdfast:counters");
const folder = namespace.addFolder("ObjectsFolder", { browseName: "Counters" });
const variables = [];
let count = run * 1_000_000;
for (let i = 0; i < items; i++) {
  variables.push(namespace.addVariable({
    componentOf: folder, browseName: `c${i}`, nodeId: `s=c${i}`, dataType: DataType.Double,
    minimumSamplingInterval: 0,
    value: new Variant({ dataType: DataType.Double, value: count }),
  }));
}
await server.start();
process.stdout.write(`${JSON.stringify({ port: server.endpoints[0].port })}\n`);
setInterval(() => {
  count += 1;
  for (const variable of variables) variable.setValueFromSource({ dataType: DataType.Double, value: count });
}, period);
