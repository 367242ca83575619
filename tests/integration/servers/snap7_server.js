// An S7 server of snap7 (npm: node-snap7). Prints {"port": port} when it listens.
// The image is that of s7_image.py, encoded here anew with node's own Buffer methods.
"use strict";

const net = require("node:net");
const path = require("node:path");

const snap7 = require(path.join(__dirname, "..", "npm", "node_modules", "node-snap7"));

function types() {
  const b = Buffer.alloc(200);
  b.writeUInt8(0b1000, 0);
  b.writeUInt8(200, 1);
  b.writeInt8(-100, 2);
  b.writeInt16BE(-12345, 4);
  b.writeUInt16BE(54321, 6);
  b.writeInt32BE(-123456789, 8);
  b.writeUInt32BE(4000000000, 12);
  b.writeFloatBE(3.25, 16);
  b.writeDoubleBE(1234.5678, 20);
  b.writeBigInt64BE(-1234567890123n, 28);
  b.writeBigUInt64BE((1n << 63n) + 5n, 36);
  b.writeUInt8(20, 44);
  b.writeUInt8(10, 45);
  b.write("Werk äöü 7", 46, "latin1");
  const wide = "온도 21°";
  b.writeUInt16BE(10, 66);
  b.writeUInt16BE(wide.length, 68);
  for (let i = 0; i < wide.length; i++) b.writeUInt16BE(wide.charCodeAt(i), 70 + 2 * i);
  b.writeUInt16BE(2026, 90);
  [11, 21, 7, 15, 7, 8].forEach((part, i) => b.writeUInt8(part, 92 + i));
  b.writeUInt32BE(123456789, 98);
  Buffer.from("2611211507081237", "hex").copy(b, 102);
  b.writeUInt16BE((Date.UTC(2026, 10, 21) - Date.UTC(1990, 0, 1)) / 86400000, 110);
  b.writeInt32BE(-5000, 112);
  b.writeUInt32BE(54428123, 116);
  b.writeUInt16BE(0x1125, 120);
  b.write("K", 122, "latin1");
  b.writeUInt16BE("한".charCodeAt(0), 124);
  [1, -2, 3, -4, 5].forEach((value, i) => b.writeInt16BE(value, 126 + 2 * i));
  return b;
}

function words() {
  const b = Buffer.alloc(1200);
  for (let i = 0; i < 600; i++) b.writeUInt16BE(7 * i, 2 * i);
  return b;
}

function filled(size, fill) {
  const b = Buffer.alloc(size);
  fill(b);
  return b;
}

const server = new snap7.S7Server();
const areas = [
  [server.srvAreaDB, 1, types()],
  [server.srvAreaDB, 2, words()],
  [server.srvAreaDB, 3, filled(10, (b) => b.writeUInt16BE(3, 0))],
  [server.srvAreaDB, 4, filled(100, (b) => { b.writeUInt8(0x03, 0); b.writeUInt8(20, 20); })],
  [server.srvAreaMK, 0, filled(100, (b) => { b.writeUInt8(1, 10); b.writeUInt16BE(1111, 20); })],
  [server.srvAreaPE, 0, filled(100, (b) => { b.writeUInt8(2, 0); b.writeUInt8(77, 4); })],
  [server.srvAreaPA, 0, filled(100, (b) => { b.writeUInt8(88, 4); b.writeInt16BE(-6, 6); })],
  // snap7's server halves the number of a timer or counter where it should double it (its client does not).
  [server.srvAreaTM, 0, filled(40, (b) => b.writeUInt16BE(0x2345, 5 >> 1))],
  [server.srvAreaCT, 0, filled(40, (b) => b.writeUInt16BE(0x0123, 3 >> 1))],
];
for (const [area, index, buffer] of areas) {
  if (!(area === server.srvAreaDB ? server.RegisterArea(area, index, buffer) : server.RegisterArea(area, buffer))) {
    throw new Error(`area ${area} ${index}: ${server.ErrorText(server.LastError())}`);
  }
}

const probe = net.createServer();
probe.listen(0, "127.0.0.1", () => {
  const { port } = probe.address();
  probe.close(() => {
    server.SetParam(1, port);
    if (!server.StartTo("127.0.0.1")) throw new Error(server.ErrorText(server.LastError()));
    server.SetCpuStatus(8);
    console.log(JSON.stringify({ port }));
    setInterval(() => {}, 1000);
  });
});
process.on("SIGTERM", () => process.exit(0));
