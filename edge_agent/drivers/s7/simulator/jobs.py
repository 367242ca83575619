"""The answer of a simulated CPU to one job: reading, writing, system status lists. No I/O."""

from dataclasses import dataclass, field

from edge_agent.drivers.s7.simulator.faults import Faults
from edge_agent.drivers.s7.simulator.memory import NAMES, Memory
from edge_agent.drivers.write_tally import tell_write

_BIT, _BYTE = 1, 2


@dataclass(slots=True)
class Cpu:
    """What it says of itself. state: 8 runs, 4 is stopped. writable: it takes writes. parts: of lists, which
    wait to be asked for."""

    order: str = "6ES7 315-2EH14-0AB0"
    name: str = "CPU 315-2 PN/DP"
    version: tuple[int, int, int] = (3, 2, 6)
    state: int = 8
    writable: bool = False
    parts: dict[int, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Range:
    """What an item of a request asks for. kind: BIT, BYTE, or the area's own for timers and counters."""

    kind: int
    area: str
    db: int
    start: int
    bit: int
    count: int

    @property
    def end(self) -> int:
        return self.start + (1 if self.kind == _BIT else self.count)


def answer(pdu: bytes, limit: int, memory: Memory, faults: Faults, cpu: Cpu, k: int) -> bytes:
    if pdu[1] == 7:
        return _list(pdu, limit, cpu)
    if pdu[1] != 1 or pdu[10] not in (4, 5):
        return _error(pdu, 0x8104)
    ranges = _ranges(pdu)
    if ranges is None or not 1 <= len(ranges) <= 20:
        return _error(pdu, 0x8500)
    if pdu[10] == 5:
        return _write(pdu, ranges, memory, faults, cpu, k)
    data = b""
    for each in ranges:
        code = _code(each, memory, faults, writes=False)
        data += b"\0" * (len(data) % 2)
        if code != 0xFF:
            data += bytes((code, 0, 0, 0))
            continue
        found = memory.read(each.area, each.db, each.start, each.end - each.start, k)
        if each.kind == _BIT:
            data += b"\xff\x03\x00\x01" + bytes((found[0] >> each.bit & 1,))
        elif each.kind == _BYTE:
            data += b"\xff\x04" + (8 * len(found)).to_bytes(2) + found
        else:
            data += b"\xff\x09" + len(found).to_bytes(2) + found
    if 14 + len(data) > limit:
        return _error(pdu, 0x8500)
    return _ack(pdu, bytes((4, len(ranges))), data)


def _write(pdu: bytes, ranges: list[_Range], memory: Memory, faults: Faults, cpu: Cpu, k: int) -> bytes:
    tell_write("s7", ", ".join(f"{each.area}{each.db} {each.start}.{each.bit}" for each in ranges))
    at = 10 + int.from_bytes(pdu[6:8])
    codes = b""
    for each in ranges:
        head, body = pdu[at : at + 4], pdu[at + 4 :]
        size = {3: 1, 4: int.from_bytes(head[2:4]) // 8}.get(head[1], int.from_bytes(head[2:4]))
        code = _code(each, memory, faults, writes=True) if cpu.writable else 0x03
        if size != each.end - each.start or (head[1] == 3) != (each.kind == _BIT) or len(body) < size:
            code = 0x07
        if code == 0xFF and each.kind == _BIT:
            memory.write_bit(each.area, each.db, each.start, each.bit, k, on=bool(body[0]))
        elif code == 0xFF:
            memory.write(each.area, each.db, each.start, body[:size])
        codes += bytes((code,))
        at += 4 + size + size % 2
    return _ack(pdu, bytes((5, len(ranges))), codes)


def _ranges(pdu: bytes) -> list[_Range] | None:
    """None where the request is not what a CPU could understand."""
    parameters = pdu[10 : 10 + int.from_bytes(pdu[6:8])]
    if len(parameters) != 2 + 12 * parameters[1]:
        return None
    found = []
    for at in range(2, len(parameters), 12):
        item = parameters[at : at + 12]
        area = NAMES.get(item[8], "")
        if item[:3] != b"\x12\x0a\x10" or not area:
            return None
        address, count = int.from_bytes(item[9:12]), int.from_bytes(item[4:6])
        db = int.from_bytes(item[6:8])
        if area in ("T", "C"):
            if item[3] != item[8]:
                return None
            found.append(_Range(item[3], area, 0, address, 0, count))
        elif item[3] not in (_BIT, _BYTE) or (item[3] == _BIT and count != 1):
            return None
        else:
            found.append(_Range(item[3], area, db, address // 8, address % 8, count))
    return found


def _code(each: _Range, memory: Memory, faults: Faults, *, writes: bool) -> int:
    code = faults.item_code(each.area, each.db, each.start, each.end, writes=writes)
    if code is not None:
        return code
    size = memory.size(each.area, each.db)
    if size is None:
        return 0x0A
    return 0x05 if each.end > size or not each.count else 0xFF


def _ack(pdu: bytes, parameters: bytes, data: bytes) -> bytes:
    sizes = len(parameters).to_bytes(2) + len(data).to_bytes(2)
    return b"\x32\x03\x00\x00" + pdu[4:6] + sizes + b"\x00\x00" + parameters + data


def _error(pdu: bytes, code: int) -> bytes:
    return b"\x32\x03\x00\x00" + pdu[4:6] + b"\x00\x00\x00\x00" + code.to_bytes(2)


def _list(pdu: bytes, limit: int, cpu: Cpu) -> bytes:
    """A system status list, in parts that fit into a message."""
    parameters = pdu[10 : 10 + int.from_bytes(pdu[6:8])]
    if parameters[5] != 0x44 or parameters[6] != 1:
        return _told(pdu, 0, b"", last=True, code=0xD401)
    if parameters[4] == 0x12:
        left, sequence = cpu.parts.pop(parameters[7], b""), parameters[7]
    else:
        number = int.from_bytes(pdu[-4:-2])
        left, sequence = _records(number, cpu), len(cpu.parts) % 255 + 1
        if not left:
            return _told(pdu, 0, b"", last=True, code=0xD401)
    room = limit - 26
    if len(left) > room:
        cpu.parts[sequence] = left[room:]
    return _told(pdu, sequence, left[:room], last=len(left) <= room, code=0)


def _records(number: int, cpu: Cpu) -> bytes:
    version = b"V" + bytes(cpu.version)
    order = cpu.order.encode().ljust(20)
    if number == 0x0011:
        size = 28
        found = [b"\0\1" + order + b"\0\xc0" + version, b"\0\x06" + order + b"\0\xc0\0\1\0\0"]
        found.append(b"\0\x07" + bytes(20) + b"\0\xc0" + version)
    elif number == 0x001C:
        size = 34
        texts = {1: "SIMULATED", 2: cpu.name, 3: "", 4: "Simulated Equipment", 5: "S SIM0001", 7: cpu.name}
        found = [index.to_bytes(2) + text.encode().ljust(32, b"\0") for index, text in texts.items()]
    elif number == 0x0424:
        size = 20
        found = [b"\x43\x02\xff" + bytes((0x40 | cpu.state,)) + bytes(16)]
    else:
        return b""
    head = number.to_bytes(2) + b"\0\0" + size.to_bytes(2) + len(found).to_bytes(2)
    return head + b"".join(found)


def _told(pdu: bytes, sequence: int, data: bytes, *, last: bool, code: int) -> bytes:
    parameters = b"\x00\x01\x12\x08\x12\x84\x01" + bytes((sequence, 0, 0 if last else 1))
    parameters += code.to_bytes(2)
    body = (b"\x0a\x00" if code else b"\xff\x09") + len(data).to_bytes(2) + data
    sizes = len(parameters).to_bytes(2) + len(body).to_bytes(2)
    return b"\x32\x07\x00\x00" + pdu[4:6] + sizes + parameters + body
