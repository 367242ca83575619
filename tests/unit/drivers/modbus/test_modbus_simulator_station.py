"""What a station takes for a request, and which faults a request meets."""

import pytest

from edge_agent.drivers.modbus.simulator.faults import Asked, Fault, FaultKind, Faults
from edge_agent.drivers.modbus.simulator.framing import RtuStationFraming, TcpStationFraming, crc

READ = bytes((3, 0, 10, 0, 2))
WRITE = bytes((16, 0, 10, 0, 1, 2, 0, 7))


def rtu(unit: int, pdu: bytes) -> bytes:
    frame = bytes((unit,)) + pdu
    return frame + crc(frame).to_bytes(2, "little")


def tcp(transaction: int, unit: int, pdu: bytes) -> bytes:
    return transaction.to_bytes(2) + b"\0\0" + (len(pdu) + 1).to_bytes(2) + bytes((unit,)) + pdu


def test_the_checksum_is_that_of_the_specification() -> None:
    """Modbus over Serial Line V1.02, appendix B: 02 07 has 41 12."""
    assert rtu(2, b"\x07").hex() == "02074112"
    assert crc(bytes.fromhex("02074112")) == 0


def test_tcp_requests_are_found_in_any_pieces() -> None:
    stream = tcp(1, 5, READ) + tcp(2, 6, WRITE)
    framing = TcpStationFraming()
    found = [request for byte in stream for request in framing.requests(bytes((byte,)))]
    assert [tuple(request) for request in found] == [(1, 5, READ), (2, 6, WRITE)]
    assert list(TcpStationFraming().requests(stream)) == found


def test_rtu_requests_are_found_in_any_pieces() -> None:
    stream = rtu(5, READ) + rtu(6, WRITE)
    framing = RtuStationFraming()
    found = [request for byte in stream for request in framing.requests(bytes((byte,)))]
    assert [tuple(request) for request in found] == [(0, 5, READ), (0, 6, WRITE)]


def test_rtu_noise_is_forgotten() -> None:
    framing = RtuStationFraming()
    assert not list(framing.requests(b"\x05\x03\0\0\0\x01\xff\xff"))
    assert [request.pdu for request in framing.requests(rtu(5, READ))] == [READ]


def test_replies_are_framed_as_requests_were() -> None:
    assert TcpStationFraming().reply(258, 7, b"\x03\x02\0\x01") == tcp(258, 7, b"\x03\x02\0\x01")
    assert RtuStationFraming().reply(0, 7, b"\x03\x02\0\x01") == rtu(7, b"\x03\x02\0\x01")


def hit(faults: Faults, first: int = 0, last: int = 0, unit: int = 1, port: int = 0) -> set[FaultKind]:
    return set(faults.hit(Asked(port, unit, "holding", first, last, writes=False)))


def test_a_fault_may_concern_units_ports_and_addresses() -> None:
    faults = Faults()
    faults.add(Fault(FaultKind.SILENCE, units=frozenset({3})))
    faults.add(Fault(FaultKind.REPEAT, ports=frozenset({1})))
    faults.add(Fault(FaultKind.EXCEPTION, area="holding", ranges=((10, 20),)))
    faults.add(Fault(FaultKind.CUT, area="input"))
    assert hit(faults) == set()
    assert hit(faults, unit=3) == {FaultKind.SILENCE}
    assert hit(faults, port=1) == {FaultKind.REPEAT}
    assert hit(faults, 5, 10) == hit(faults, 20, 30) == {FaultKind.EXCEPTION}
    assert hit(faults, 21, 30) == set()


def test_missing_spares_what_lies_wholly_in_its_ranges() -> None:
    faults = Faults()
    faults.add(Fault(FaultKind.MISSING, area="holding", ranges=((20, 29), (10, 19))))
    assert hit(faults, 10, 29) == set()
    assert hit(faults, 12, 18) == set()
    assert hit(faults, 9, 12) == hit(faults, 25, 30) == hit(faults, 0, 0) == {FaultKind.MISSING}


def test_a_fault_ends_after_its_times() -> None:
    faults = Faults()
    faults.add(Fault(FaultKind.SILENCE, times=2))
    assert [bool(hit(faults)) for _ in range(3)] == [True, True, False]
    assert not faults


def test_faults_are_removed_by_their_number() -> None:
    faults = Faults()
    first = faults.add(Fault(FaultKind.SILENCE))
    faults.add(Fault(FaultKind.REPEAT))
    faults.remove(first)
    assert hit(faults) == {FaultKind.REPEAT}
    faults.clear()
    assert not faults


def test_faults_come_as_json() -> None:
    values = {"kind": "exception", "code": 4, "units": [1, 2], "area": "coil", "ranges": [[0, 9]], "times": 3}
    assert Fault.of(values) == Fault(
        FaultKind.EXCEPTION, code=4, units=frozenset({1, 2}), area="coil", ranges=((0, 9),), times=3
    )
    with pytest.raises(ValueError, match="'earthquake' is not a valid FaultKind"):
        Fault.of({"kind": "earthquake"})
    with pytest.raises(TypeError):
        Fault.of({"kind": "silence", "colour": "red"})
