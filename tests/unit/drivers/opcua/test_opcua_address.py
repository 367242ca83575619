"""Node addresses as people write them."""

import pytest

from edge_agent.drivers.opcua.address import Address, IdType, check_index_range, parse


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("i=2258", Address(IdType.NUMBER, "2258", 0)),
        ("ns=2;s=Press.Oil;1=2", Address(IdType.TEXT, "Press.Oil;1=2", 2)),
        ("ns=3;g=09087e75-8e5e-499b-954f-f2a9603db28a",
         Address(IdType.GUID, "09087e75-8e5e-499b-954f-f2a9603db28a", 3)),
        ("ns=1;b=M/RbKBsRVkePCePcx24oRA==", Address(IdType.BYTES, "M/RbKBsRVkePCePcx24oRA==", 1)),
        ("nsu=http://a.example/x;s=Öl", Address(IdType.TEXT, "Öl", None, "http://a.example/x")),
        ("nsu=urn:a%3Bb%2525;i=7", Address(IdType.NUMBER, "7", None, "urn:a;b%25")),
    ],
)  # fmt: skip
def test_every_form_of_a_node_is_understood_and_shown_as_written(text: str, address: Address) -> None:
    assert parse(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Press.Oil", "is no node"),
        ("ns=2;x=1", "is no node"),
        ("ns=70000;i=1", "at most 65535"),
        ("ns=2;s=", "1 to 4096 characters"),
        ("i=4294967296", "a number from 0"),
        ("i=x", "a number from 0"),
        ("i=²", "a number from 0"),
        ("g=1234", "a GUID"),
        ("b=%%%", "base64"),
        ("nsu=;i=1", "is no node"),
    ],
)
def test_what_is_no_node_is_refused_with_the_reason(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        parse(text)


@pytest.mark.parametrize("text", ["5", "2:4", "0:1,3:5", "0,7"])
def test_index_ranges_of_the_specification_are_taken(text: str) -> None:
    assert check_index_range(text) == text


@pytest.mark.parametrize("text", ["", "4:2", "3:3", "1:", "a", "1;2"])
def test_other_index_ranges_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"index range|must end"):
        check_index_range(text)
