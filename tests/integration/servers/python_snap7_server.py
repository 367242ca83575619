"""An S7 server of python-snap7. Prints {"port": port} when it listens, and ends with its standard input.

The image is that of s7_image.py, encoded here anew with python-snap7's own setters.
"""

import json
import socket
import sys
from datetime import date, datetime

from snap7 import util
from snap7.server import Server
from snap7.type import SrvArea

# A PLC's time has no zone.
AT = datetime.fromisoformat("2026-11-21T15:07:08.123")


def types() -> bytearray:
    b = bytearray(200)
    util.set_bool(b, 0, 3, True)
    util.set_byte(b, 1, 200)
    util.set_sint(b, 2, -100)
    util.set_int(b, 4, -12345)
    util.set_uint(b, 6, 54321)
    util.set_dint(b, 8, -123456789)
    util.set_udint(b, 12, 4000000000)
    util.set_real(b, 16, 3.25)
    util.set_lreal(b, 20, 1234.5678)
    util.set_lint(b, 28, -1234567890123)
    util.set_ulint(b, 36, (1 << 63) + 5)
    util.set_fstring(b, 46, "Werk äöü 7", 10)
    b[44:46] = bytes((20, 10))
    util.set_wstring(b, 66, "온도 21°", 10)
    util.set_dtl(b, 90, AT)
    util.set_udint(b, 98, 123456789)  # its datetime knows no nanoseconds
    util.set_dt(b, 102, AT)
    util.set_date(b, 110, date(2026, 11, 21))
    util.set_dint(b, 112, -5000)
    util.set_udint(b, 116, 54_428_123)
    util.set_word(b, 120, 0x1125)
    util.set_char(b, 122, "K")
    util.set_wchar(b, 124, "한")
    for index, value in enumerate((1, -2, 3, -4, 5)):
        util.set_int(b, 126 + 2 * index, value)
    return b


def words() -> bytearray:
    b = bytearray(1200)
    for index in range(600):
        util.set_uint(b, 2 * index, 7 * index)
    return b


def others() -> list[tuple[SrvArea, int, bytearray]]:
    short, written, markers, inputs, outputs = (bytearray(size) for size in (10, 100, 100, 100, 100))
    util.set_uint(short, 0, 3)
    written[0], written[20] = 3, 20
    markers[10] = 1
    util.set_uint(markers, 20, 1111)
    inputs[0], inputs[4] = 2, 77
    outputs[4] = 88
    util.set_int(outputs, 6, -6)
    timers, counters = bytearray(40), bytearray(40)
    util.set_word(timers, 10, 0x2345)
    util.set_word(counters, 6, 0x0123)
    return [
        (SrvArea.DB, 3, short), (SrvArea.DB, 4, written), (SrvArea.MK, 0, markers), (SrvArea.PE, 0, inputs),
        (SrvArea.PA, 0, outputs), (SrvArea.TM, 0, timers), (SrvArea.CT, 0, counters),
    ]  # fmt: skip


def main() -> None:
    server = Server(log=False)
    for area, index, data in [(SrvArea.DB, 1, types()), (SrvArea.DB, 2, words()), *others()]:
        server.register_area(area, index, data)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server.start_to("127.0.0.1", port)
    print(json.dumps({"port": port}), flush=True)
    sys.stdin.read()
    server.stop()


if __name__ == "__main__":
    main()
