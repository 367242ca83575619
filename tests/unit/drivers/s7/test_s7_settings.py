"""A tag's type comes of its address, or of `type`, in the schema's words or the program's."""

from typing import Any

import pytest
from pydantic import ValidationError

from edge_agent.drivers.s7.settings import S7Connection, S7Tag, S7Transport
from edge_agent.wire.schema import ValueType


def tag(address: str, **more: Any) -> S7Tag:
    return S7Tag.model_validate({"name": "x", "address": address, **more})


@pytest.mark.parametrize(
    ("address", "more", "type_", "name"),
    [
        ("M10.0", {}, ValueType.BOOL, "BOOL"),
        ("DB1.DBW0", {}, ValueType.UINT16, "WORD"),
        ("DB1.DBW0", {"type": "int16"}, ValueType.INT16, "INT"),
        ("DB1.DBD0", {"type": "float32"}, ValueType.FLOAT32, "REAL"),
        ("DB1.DBD0", {"type": "Real"}, ValueType.FLOAT32, "REAL"),
        ("DB1.DBB0", {"type": "STRING[8]"}, ValueType.STRING, "STRING"),
        ("DB1.DBD0:TIME", {"type": "int32"}, ValueType.INT32, "TIME"),
        ("T5", {}, ValueType.UINT32, "S5TIME"),
        ("DB1.DBB0:DTL", {}, ValueType.STRING, "DTL"),
    ],
)
def test_types(address: str, more: dict[str, Any], type_: ValueType, name: str) -> None:
    made = tag(address, **more)
    assert (made.type, made.place.type.name) == (type_, name)
    again = S7Tag.model_validate(made.model_dump())
    assert again.place == made.place


@pytest.mark.parametrize(
    ("address", "more", "said"),
    [
        ("DB1.DBD0:REAL", {"type": "int32"}, "leave type out"),
        ("DB1.DBW0", {"type": "float32"}, "write D"),
        ("DB1.8", {}, "needs a type"),
        ("DB1.DBB0:STRING[5]", {"count": 2}, "arrays of STRING"),
        ("DB1.DBB0:STRING[5]", {"scale": 2.0}, "no scale"),
        ("DB1.DBW65530", {"count": 4}, "behind the last byte"),
        ("CPU:STATE", {"count": 2}, "one value"),
        ("DB1.DBW0", {"encoding": "klingon"}, "unknown character set"),
        ("DB1.DBX0.0", {"step": 4}, "the type takes 1"),
    ],
)
def test_what_cannot_be_is_refused(address: str, more: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        tag(address, **more)


@pytest.mark.parametrize("host", ["plc..works", "plc\0", "x" * 64])
def test_a_host_that_no_resolver_can_be_asked_for_is_refused(host: str) -> None:
    with pytest.raises(ValidationError, match="no host name"):
        S7Transport(host=host)


def test_the_state_of_the_cpu_has_names() -> None:
    assert tag("CPU:STATE").enum[8] == "run"
    assert tag("CPU:STATE", enum={8: "RUN"}).enum == {8: "RUN"}


@pytest.mark.parametrize(
    ("transport", "local", "remote"),
    [
        ({}, "0100", "0201"),
        ({"slot": 2}, "0100", "0202"),
        ({"rack": 1, "slot": 3, "connection_type": "pg"}, "0100", "0123"),
        ({"connection_type": "basic", "slot": 0}, "0100", "0300"),
        ({"local_tsap": "02.00", "remote_tsap": "0200"}, "0200", "0200"),
        ({"remote_tsap": "4d.57"}, "0100", "4d57"),
    ],
)
def test_tsaps(transport: dict[str, Any], local: str, remote: str) -> None:
    made = S7Connection.model_validate(
        {"name": "a", "driver": "s7", "transport": {"host": "plc", **transport}}
    )
    assert made.transport.tsaps == (bytes.fromhex(local), bytes.fromhex(remote))


def test_a_tsap_that_yaml_made_a_number_of_is_refused() -> None:
    with pytest.raises(ValidationError, match="in quotes"):
        S7Connection.model_validate(
            {"name": "a", "driver": "s7", "transport": {"host": "plc", "remote_tsap": 2.0}}
        )


def test_s7_has_no_units() -> None:
    group = {"name": "g", "interval": "1s", "unit_id": 3, "tags": [{"name": "x", "address": "MW0"}]}
    with pytest.raises(ValidationError, match="no units"):
        S7Connection.model_validate(
            {"name": "a", "driver": "s7", "transport": {"host": "plc"}, "groups": [group]}
        )
