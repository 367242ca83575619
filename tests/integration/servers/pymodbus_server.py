"""Servers made of pymodbus: `pymodbus_server.py KIND [ARGUMENT …]`.

tcp, udp print their port when they listen; tls CERT KEY CA as well, and wants clients' certificates that CA
signed; serial DEVICE prints 0. The image is that of modbus_image.py, encoded here anew. Unit 1.
Serves until it is killed.
"""

import asyncio
import ssl
import struct
import sys
from typing import Any

from pymodbus import FramerType
from pymodbus.pdu.device import ModbusDeviceIdentification
from pymodbus.server import ModbusSerialServer, ModbusTcpServer, ModbusTlsServer, ModbusUdpServer
from pymodbus.simulator import DataType, SimData, SimDevice

REGISTERS = 400
BITS = 2016
# Format and value of what stands at a place; strings are their bytes.
VALUES: dict[int, tuple[str, Any]] = {
    0: (">h", -12345), 1: (">H", 54321), 2: (">i", -123456789), 4: (">I", 4000000000),
    6: (">f", -1234.5625), 8: (">q", -1234567890123456789), 12: (">Q", 17000000000000000001),
    16: (">d", -1.25e-300),
}  # fmt: skip
ORDERS = {"abcd": (False, False), "cdab": (False, True), "badc": (True, False), "dcba": (True, True)}


def words(data: bytes, *, bytes_swapped: bool) -> list[int]:
    return [number for (number,) in struct.iter_unpack("<H" if bytes_swapped else ">H", data)]


def registers() -> list[int]:
    image = [0] * REGISTERS
    for index, (bytes_swapped, words_swapped) in enumerate(ORDERS.values()):
        base = 40 * index
        for place, (form, value) in VALUES.items():
            found = words(struct.pack(form, value), bytes_swapped=bytes_swapped)
            if words_swapped:
                found.reverse()
            image[base + place : base + place + len(found)] = found
        image[base + 20 : base + 25] = words(b"HOLDFAST\0\0", bytes_swapped=bytes_swapped)
    image[200:] = [3 * address for address in range(200, REGISTERS)]
    return image


def bits(step: int) -> list[SimData]:
    values: list[Any] = [number % step == 0 for number in range(BITS)]
    return [SimData(0, values=values, datatype=DataType.BITS)]


def device() -> SimDevice:
    table = [SimData(0, values=list(registers()), datatype=DataType.REGISTERS)]
    return SimDevice(1, (bits(3), bits(5), table, table))


def tls_context(cert: str, key: str, ca: str) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=ca)
    context.load_cert_chain(cert, key)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


async def serve(kind: str, arguments: list[str]) -> None:
    identity = ModbusDeviceIdentification(  # type: ignore[no-untyped-call]
        info_name={"VendorName": "ACME", "ProductCode": "P-7", "MajorMinorRevision": "2.10"}
    )
    shared: dict[str, Any] = {"identity": identity}
    address = ("127.0.0.1", 0)
    server: Any
    if kind == "tcp":
        server = ModbusTcpServer(device(), address=address, **shared)
    elif kind == "udp":
        server = ModbusUdpServer(device(), address=address, **shared)
    elif kind == "tls":
        context = tls_context(*arguments)
        server = ModbusTlsServer(
            device(), address=address, framer=FramerType.SOCKET, sslctx=context, **shared
        )
    else:
        server = ModbusSerialServer(
            device(), framer=FramerType.RTU, port=arguments[0], baudrate=115_200, **shared
        )
    await server.serve_forever(background=True)
    port = 0
    if kind == "udp":
        port = server.transport.get_extra_info("sockname")[1]
    elif kind != "serial":
        port = server.transport.sockets[0].getsockname()[1]
    print(port, flush=True)
    await asyncio.get_running_loop().create_future()


asyncio.run(serve(sys.argv[1], sys.argv[2:]))
