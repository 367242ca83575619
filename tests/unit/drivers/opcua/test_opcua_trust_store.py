"""The trust lists on disk: what is refused is kept, accepted, rejected, and read whoever wrote it."""

import os
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from edge_agent.contracts.errors import ConfigError, NotConnected
from edge_agent.drivers.opcua.certificates import own_identity, thumbprint
from edge_agent.drivers.opcua.trust_store import MOST_REJECTED, TrustStore
from tests.unit.drivers.opcua.authority import authority, revocations, server


def names(store: TrustStore, name: str) -> set[str]:
    return {entry.thumbprint for entry in store.entries(name)}


def put(store: TrustStore, name: str, *certificates: x509.Certificate, form: Encoding = Encoding.PEM) -> Path:
    path = store.directory / name / "by-hand.crt"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(each.public_bytes(form) for each in certificates))
    return path


def test_a_refused_certificate_can_be_accepted_and_rejected_again(tmp_path: Path) -> None:
    store, certificate = TrustStore(tmp_path / "pki"), server()
    print_ = thumbprint(certificate)
    assert store.lists().trusted == ()
    store.refused(certificate)
    store.refused(certificate)
    assert names(store, "rejected") == {print_}
    assert store.accept(print_).list == "trusted"
    assert store.lists().trusted == (certificate,)
    assert names(store, "rejected") == set()
    assert store.accept(print_).list == "trusted", "twice is once"
    assert store.reject(print_).list == "rejected"
    assert store.reject(print_).list == "rejected"
    assert store.lists().trusted == ()
    assert names(store, "rejected") == {print_}


def test_thumbprints_are_taken_as_people_write_them(tmp_path: Path) -> None:
    store, certificate = TrustStore(tmp_path), server()
    print_ = thumbprint(certificate)
    for written in (print_.lower(), print_[:8], " ".join(print_[i : i + 2] for i in range(0, 40, 2))):
        store.refused(certificate)
        assert store.accept(written).thumbprint == print_
        store.reject(print_)
    sha256 = str(store.entries("rejected")[0].shown()["sha256"])
    assert store.accept(sha256).thumbprint == print_


@pytest.mark.parametrize("wanted", ["", "12", "../../etc/x", "not hex at all", "*"])
def test_what_is_no_thumbprint_is_refused(tmp_path: Path, wanted: str) -> None:
    with pytest.raises(ConfigError, match="no thumbprint"):
        TrustStore(tmp_path).accept(wanted)


def test_an_unknown_thumbprint_says_where_to_look(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no server was refused with it; see `edge-agent opcua trust list`"):
        TrustStore(tmp_path).accept("AB" * 20)
    with pytest.raises(ConfigError, match="it is not trusted"):
        TrustStore(tmp_path).reject("AB" * 20)


def test_refused_ones_are_bounded_and_the_newest_stay(tmp_path: Path) -> None:
    store = TrustStore(tmp_path)
    made = [server(f"press {index}") for index in range(MOST_REJECTED + 5)]
    for index, certificate in enumerate(made):
        path = store.refused(certificate)
        os.utime(path, (index, index))
    assert names(store, "rejected") == {thumbprint(each) for each in made[5:]}
    store.refused(made[5])
    store.refused(made[0])
    assert {thumbprint(made[5]), thumbprint(made[0])} <= names(store, "rejected"), "seen again is new"


def test_files_that_people_put_there_count(tmp_path: Path) -> None:
    store, root = TrustStore(tmp_path), authority()
    one, two = server("one"), server("two")
    path = put(store, "trusted", one, two)
    put(store, "issuers", root.certificate, form=Encoding.DER)
    crl = store.directory / "crl" / "plant.crl"
    crl.parent.mkdir()
    crl.write_bytes(revocations(root, 5).public_bytes(Encoding.DER))
    lists = store.lists()
    assert set(lists.trusted) == {one, two}
    assert lists.issuers == (root.certificate,)
    assert len(lists.revocations) == 1
    store.reject(thumbprint(one))
    assert store.lists().trusted == (two,), "the other one in the file stays"
    assert path.exists()


@pytest.mark.parametrize("name", ["trusted", "issuers", "crl"])
def test_a_file_that_cannot_be_read_stops_the_connection_and_is_named(tmp_path: Path, name: str) -> None:
    store = TrustStore(tmp_path)
    (tmp_path / name).mkdir()
    (tmp_path / name / "README.txt").write_text("put certificates here")
    with pytest.raises(NotConnected, match=rf"{name}/README\.txt: is not what belongs there"):
        store.lists()
    (tmp_path / name / "README.txt").rename(tmp_path / name / ".hidden")
    store.lists()


def test_what_root_accepts_is_the_agents_to_read(tmp_path: Path) -> None:
    """As anybody else nothing can be given away, and everything is one's own anyway."""
    state = tmp_path / "state"
    state.mkdir()
    owner = 54_321 if os.geteuid() == 0 else os.geteuid()
    os.chown(state, owner, -1)
    store, certificate = TrustStore(state / "pki"), server()
    store.refused(certificate)
    store.accept(thumbprint(certificate))
    own_identity(store.directory)
    made = [state / "pki", *(state / "pki").rglob("*")]
    assert len(made) == 8
    assert {each.stat().st_uid for each in made} == {owner}


def test_rubbish_among_the_refused_disturbs_nobody(tmp_path: Path) -> None:
    store = TrustStore(tmp_path)
    put(store, "rejected").write_bytes(b"rubbish")
    store.refused(server())
    assert len(store.entries("rejected")) == 1
