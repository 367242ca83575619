// Modbus servers from npm: modbus-serial on TCP, jsmodbus with RTU frames over TCP.
// Prints {"tcp": port, "rtu_over_tcp": port} when both listen. The image is that of modbus_image.py,
// encoded here anew with node's own Buffer methods.
"use strict";

const net = require("node:net");
const path = require("node:path");

const modules = path.join(__dirname, "..", "npm", "node_modules");
const ModbusSerial = require(path.join(modules, "modbus-serial"));
const jsmodbus = require(path.join(modules, "jsmodbus"));

const REGISTERS = 400;
const BITS = 2016;
const ILLEGAL_ADDRESS = 2;

function transformed(value, order) {
  const data = Buffer.from(value);
  if (order === "badc" || order === "dcba") data.swap16();
  if (order === "cdab" || order === "dcba") {
    const words = [];
    for (let at = data.length - 2; at >= 0; at -= 2) words.push(data.subarray(at, at + 2));
    return Buffer.concat(words);
  }
  return data;
}

function put(image, register, order, size, write) {
  const value = Buffer.alloc(size);
  write(value);
  transformed(value, order).copy(image, 2 * register);
}

function registers() {
  const image = Buffer.alloc(2 * REGISTERS);
  ["abcd", "cdab", "badc", "dcba"].forEach((order, index) => {
    const base = 40 * index;
    put(image, base, order, 2, (b) => b.writeInt16BE(-12345));
    put(image, base + 1, order, 2, (b) => b.writeUInt16BE(54321));
    put(image, base + 2, order, 4, (b) => b.writeInt32BE(-123456789));
    put(image, base + 4, order, 4, (b) => b.writeUInt32BE(4000000000));
    put(image, base + 6, order, 4, (b) => b.writeFloatBE(-1234.5625));
    put(image, base + 8, order, 8, (b) => b.writeBigInt64BE(-1234567890123456789n));
    put(image, base + 12, order, 8, (b) => b.writeBigUInt64BE(17000000000000000001n));
    put(image, base + 16, order, 8, (b) => b.writeDoubleBE(-1.25e-300));
    const text = Buffer.from("HOLDFAST\0\0", "latin1");
    if (order === "badc" || order === "dcba") text.swap16();
    text.copy(image, 2 * (base + 20));
  });
  for (let register = 200; register < REGISTERS; register++) image.writeUInt16BE(register * 3, 2 * register);
  return image;
}

function bits(step) {
  const image = Buffer.alloc(BITS / 8);
  for (let bit = 0; bit < BITS; bit += step) image[bit >> 3] |= 1 << (bit & 7);
  return image;
}

const holding = registers();
const input = registers();
const coils = bits(3);
const discrete = bits(5);

function register(image, address) {
  if (address >= REGISTERS) throw { modbusErrorCode: ILLEGAL_ADDRESS };
  return image.readUInt16BE(2 * address);
}

function bit(image, address) {
  if (address >= BITS) throw { modbusErrorCode: ILLEGAL_ADDRESS };
  return Boolean(image[address >> 3] & (1 << (address & 7)));
}

const vector = {
  getCoil: (address) => bit(coils, address),
  getDiscreteInput: (address) => bit(discrete, address),
  getHoldingRegister: (address) => register(holding, address),
  getInputRegister: (address) => register(input, address),
};

function freePort(then) {
  const probe = net.createServer();
  probe.listen(0, "127.0.0.1", () => {
    const { port } = probe.address();
    probe.close(() => then(port));
  });
}

freePort((tcp) => {
  const server = new ModbusSerial.ServerTCP(vector, { host: "127.0.0.1", port: tcp, unitID: 1 });
  server.on("initialized", () => {
    const rtu = net.createServer((socket) => {
      socket.on("error", () => {});
      new jsmodbus.server.RTU(socket, { coils, discrete, holding, input });
    });
    rtu.listen(0, "127.0.0.1", () => {
      console.log(JSON.stringify({ tcp, rtu_over_tcp: rtu.address().port }));
    });
  });
});
