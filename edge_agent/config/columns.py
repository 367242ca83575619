"""What a tag list's columns are called, and how a cell is read as a setting. Pure.

Plain spreadsheets have a column for each setting of a tag. A setting of a driver's tags (`word_order`,
`length`, …) is a column of the same name: validation refuses those that the driver does not know.
"""

import re
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Any, Final

_SEPARATORS: Final = re.compile(r"[\s_-]+")
# Digits are bounded because Python refuses to turn very many into a number.
_PAIR: Final = re.compile(r"\s*([-+]?[0-9]{1,40})\s*[=:]\s*(\S.*?)\s*", re.DOTALL)
_DECIMAL_COMMA: Final = re.compile(r"([-+]?[0-9]*),([0-9]+)")
_THOUSANDS: Final = re.compile(r"[-+]?[1-9][0-9]{0,2},[0-9]{3}")
ENUM_RULE: Final = "needs numbers and names such as 0=stop; 1=run"


class Use(Enum):
    """What becomes of a column that is no setting of a tag."""

    IGNORED = "for people alone"
    NOTED = "ignored, which a warning says"


_SETTINGS: Final = {
    "name": ("name", "tag", "tagname", "이름", "태그", "태그명", "태그이름"),
    "address": ("address", "주소", "번지", "어드레스"),
    "type": ("type", "datatype", "형식", "타입", "자료형", "데이터형식", "데이터타입"),
    "scale": ("scale", "배율", "스케일"),
    "offset": ("offset", "오프셋", "보정값"),
    "unit": ("unit", "units", "engunits", "engineeringunits", "단위"),
    "enum": ("enum", "상태값", "열거"),
    "deadband": ("deadband", "불감대", "데드밴드"),
    "min_interval": ("mininterval", "최소주기"),
    "max_interval": ("maxinterval", "최대주기"),
    "count": ("count", "개수"),
    "length": ("length", "길이"),
    "encoding": ("encoding", "문자셋"),
    "byte_order": ("byteorder", "바이트순서"),
    "word_order": ("wordorder", "워드순서"),
}
_OTHER: Final = {
    Use.IGNORED: ("", "no", "description", "comment", "comments", "remark", "remarks", "note", "notes",
                  "번호", "설명", "비고", "주석", "메모"),
    Use.NOTED: ("group", "device", "connection", "interval", "scanrate", "clientaccess", "access",
                "그룹", "주기", "스캔주기", "수집주기", "접근권한"),
}  # fmt: skip
_MEANINGS: Final[dict[str, str | Use]] = {
    **{heading: key for key, headings in _SETTINGS.items() for heading in headings},
    **{heading: use for use, headings in _OTHER.items() for heading in headings},
}
# What people call types that can mean one thing only.
_TYPES: Final = {
    "boolean": "bool", "float": "float32", "double": "float64", "word": "uint16", "dword": "uint32",
}  # fmt: skip
# Columns that are parts of the setting `deadband`.
DEADBAND_PARTS: Final = ("deadband", "min_interval", "max_interval")


def squeezed(heading: str) -> str:
    """The heading as it is compared: `Data_Type`, `data type` and `DataType` are one."""
    return _SEPARATORS.sub("", heading).casefold()


def meaning(heading: str) -> str | Use:
    """The setting that a column holds, or what becomes of it. One that is not known stays as it is called."""
    known = _MEANINGS.get(squeezed(heading))
    return _SEPARATORS.sub("_", heading.strip()).casefold() if known is None else known


def number(cell: str, delimiter: str) -> str:
    """The cell with a decimal point: where commas do not part the cells, they part the digits.

    Semicolons come from where the comma is the decimal sign, tabs from everywhere: with those `1,000` may
    be a thousand. Raises ValueError for it.
    """
    found = _DECIMAL_COMMA.fullmatch(cell) if delimiter != "," and "," in cell else None
    if found is None:
        return cell
    if delimiter == "\t" and _THOUSANDS.fullmatch(cell):
        plain = cell.replace(",", "")
        raise ValueError(f"'{cell}' is {found[1]}.{found[2]} or {plain}: write one of these, without a comma")
    return f"{found[1]}.{found[2]}"


def type_name(cell: str) -> str:
    lowered = cell.lower()
    return _TYPES.get(lowered, lowered)


def enum_names(cell: str) -> dict[str, str]:
    """`0=stop; 1=run` as {"0": "stop", "1": "run"}. Raises ValueError."""
    delimiter = next((each for each in (";", "|", "\n") if each in cell), ",")
    names: dict[str, str] = {}
    for part in cell.split(delimiter):
        pair = _PAIR.fullmatch(part)
        if pair is None and part.strip():
            raise ValueError(f"{ENUM_RULE} (got '{part.strip()}')")
        if pair is None:
            continue
        value = str(int(pair[1]))  # +1 and 01 are 1
        if value in names:
            raise ValueError(f"{ENUM_RULE}: {value} is there twice")
        names[value] = pair[2]
    return names


def deadband(cell: str, delimiter: str) -> dict[str, Any]:
    """`0.2` is an absolute deadband, `1 %` one in percent, `change` keeps every change. Raises ValueError."""
    lowered = cell.lower()
    if lowered in ("change", "on_change", "on change", "변화"):
        return {"on_change": True}
    if lowered.endswith("%"):
        return {"percent": number(cell[:-1].strip(), delimiter)}
    return {"absolute": number(cell, delimiter)}


def converters(keys: Sequence[str], delimiter: str) -> dict[str, Callable[[str], Any]]:
    """For those of the columns whose cells are not taken as they are: from the text to the setting.

    They raise ValueError with what the cell needs.
    """

    def as_number(cell: str) -> str:
        return number(cell, delimiter)

    known: dict[str, Callable[[str], Any]] = {
        "type": type_name, "scale": as_number, "offset": as_number, "enum": enum_names,
    }  # fmt: skip
    return {key: convert for key, convert in known.items() if key in keys}
