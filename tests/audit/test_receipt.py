"""A receipt is given for what the peer has read, and for nothing else."""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from cad_node.audit.receipt import send_with_receipt
from tests.certificates import Authority, Identity

pytestmark = pytest.mark.timeout(60)

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]
SIZES = [10, 1_000_000]


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def identity(authority: Authority) -> Identity:
    return authority.issue("collector", "localhost")


@contextmanager
def peer(context: ssl.SSLContext, behave: Callable[[ssl.SSLSocket], None]) -> Iterator[socket.socket]:
    """A connection to a peer that does `behave` after the handshake and then closes it, without close_notify."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection, suppress(OSError), context.wrap_socket(connection, server_side=True) as secured:
            behave(secured)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        with socket.create_connection(listener.getsockname(), 10) as connection:
            yield connection
        thread.join()


def server(identity: Identity) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(identity.certificate, identity.key)
    return context


def client(authority: Authority, version: ssl.TLSVersion) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority.file)
    context.minimum_version = context.maximum_version = version
    return context


def read_all(secured: ssl.SSLSocket) -> None:
    while secured.recv(65_536):
        pass


def read_all_and_say_goodbye(secured: ssl.SSLSocket) -> None:
    read_all(secured)
    secured.unwrap()


def read_little(secured: ssl.SSLSocket) -> None:
    secured.recv(1)


def close_at_once(_: ssl.SSLSocket) -> None:
    pass


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("behave", [read_all, read_all_and_say_goodbye])
def test_what_was_read_has_a_receipt(identity, authority, behave, version: ssl.TLSVersion, size: int):
    with peer(server(identity), behave) as connection:
        send_with_receipt(connection, client(authority, version), "localhost", bytes(size))


@pytest.mark.parametrize(("behave", "size"), [(close_at_once, 10), (close_at_once, 1_000_000), (read_little, 1_000_000)])
@pytest.mark.parametrize("version", VERSIONS)
def test_what_was_left_unread_has_none(identity, authority, behave, version: ssl.TLSVersion, size: int):
    with peer(server(identity), behave) as connection, pytest.raises(OSError, match=r"reset|pipe"):
        send_with_receipt(connection, client(authority, version), "localhost", bytes(size))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("version", VERSIONS)
def test_a_peer_that_misses_our_certificate_gives_none(identity, authority, version: ssl.TLSVersion, size: int):
    strict = server(identity)
    strict.verify_mode = ssl.CERT_REQUIRED
    strict.load_verify_locations(authority.file)

    with peer(strict, read_all_and_say_goodbye) as connection, pytest.raises(OSError, match=r"alert|reset|pipe"):
        send_with_receipt(connection, client(authority, version), "localhost", bytes(size))


def test_a_peer_that_neither_reads_nor_ends_gives_none_in_time(identity, authority):
    told = threading.Event()

    with peer(server(identity), lambda _: told.wait(20)) as connection:
        connection.settimeout(0.2)
        with pytest.raises(TimeoutError):
            send_with_receipt(connection, client(authority, VERSIONS[1]), "localhost", bytes(10))
        told.set()
