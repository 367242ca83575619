// An OPC UA server from npm (node-opcua) with every security policy and mode, and users.
//
// usage: node node_opcua_secured.mjs PORT DIRECTORY
//
// It has two variables in the namespace urn:holdfast:secured. It takes the certificates of clients only that it
// was told to trust: the name of a file (DER) a line on the standard input. Prints {"port": …} when it listens,
// and {"trusted": …} for each of them.
import fs from "node:fs";
import path from "node:path";
import { createRequire } from "node:module";
import readline from "node:readline";
import { fileURLToPath } from "node:url";

const here = path.dirname(fileURLToPath(import.meta.url));
const require = createRequire(path.join(here, "..", "npm", "package.json"));
console.log = console.warn = console.error = () => {};  // standard output is the test's
const {
  OPCUAServer, OPCUACertificateManager, DataType, MessageSecurityMode, SecurityPolicy, Variant, nodesets,
} = require("node-opcua");

const port = Number(process.argv[2]);
const serverCertificateManager = new OPCUACertificateManager({
  rootFolder: path.join(process.argv[3], "pki"), automaticallyAcceptUnknownCertificate: false,
});
await serverCertificateManager.initialize();
const server = new OPCUAServer({
  port,
  hostname: "127.0.0.1",
  nodeset_filename: [nodesets.standard],
  serverCertificateManager,
  securityPolicies: [
    SecurityPolicy.None, SecurityPolicy.Basic256Sha256, SecurityPolicy.Aes128_Sha256_RsaOaep,
    SecurityPolicy.Aes256_Sha256_RsaPss,
  ],
  securityModes: [MessageSecurityMode.None, MessageSecurityMode.Sign, MessageSecurityMode.SignAndEncrypt],
  allowAnonymous: false,
  userManager: { isValidUser: (name, password) => name === "holdfast" && password === "geheim-4711" },
});
await server.initialize();
const namespace = server.engine.addressSpace.registerNamespace("urn:holdfast:secured");
const folder = namespace.addFolder("ObjectsFolder", { browseName: "Press" });
namespace.addAnalogDataItem({
  componentOf: folder, browseName: "Oil", nodeId: "s=Oil", dataType: DataType.Float,
  engineeringUnitsRange: { low: 0, high: 200 }, instrumentRange: { low: 0, high: 200 },
  engineeringUnits: require("node-opcua").standardUnits.degree_celsius,
  value: new Variant({ dataType: DataType.Float, value: 81.5 }),
});
namespace.addVariable({
  componentOf: folder, browseName: "Zones", nodeId: "s=Zones", dataType: DataType.Int16, valueRank: 1,
  arrayDimensions: [4],
  value: new Variant({ dataType: DataType.Int16, arrayType: 1, value: new Int16Array([1, 2, 3, 4]) }),
});
readline.createInterface({ input: process.stdin }).on("line", async (file) => {
  await serverCertificateManager.trustCertificate(fs.readFileSync(file));
  process.stdout.write(`${JSON.stringify({ trusted: file })}\n`);
});
await server.start();
process.stdout.write(`${JSON.stringify({ port: server.endpoints[0].port })}\n`);
