"""A backend of somebody else's is looked at before anything is started: each kind of trouble is one message, and soon."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

import pytest

import forecourt.backends
from forecourt.backends import backend_url, must_answer
from forecourt.guard import BadInput


@contextmanager
def server(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """One connection, answered by ``serve``."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:

        def answer() -> None:
            connection, _ = listening.accept()
            with connection, suppress(OSError):  # the other side may have heard enough
                serve(connection)

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        thread.join(10)
        assert not thread.is_alive()


def says(*parts: bytes) -> Callable[[socket.socket], None]:
    def serve(connection: socket.socket) -> None:
        connection.recv(65_536)
        for part in parts:
            connection.sendall(part)

    return serve


def drips(connection: socket.socket) -> None:
    """A header that never ends, a byte at a time: no single wait is long."""
    connection.settimeout(0.05)
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"x")
        try:
            if not connection.recv(65_536):
                return
        except TimeoutError:
            continue


def floods(connection: socket.socket) -> None:
    connection.recv(65_536)
    connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n")
    while True:
        connection.sendall(b"x" * 65_536)


def waits(connection: socket.socket) -> None:
    while connection.recv(65_536):
        pass


@pytest.fixture(autouse=True)
def _impatient(monkeypatch):
    monkeypatch.setattr(forecourt.backends, "_ANSWER_S", 0.3)


def test_one_that_answers_is_taken_whatever_its_body():
    with server(says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")) as url:
        must_answer(url)
    with server(floods) as url:
        must_answer(url)


@pytest.mark.parametrize(
    ("serve", "words"),
    [
        (says(b"SSH-2.0-OpenSSH\r\n"), "does not answer: "),
        (says(), "does not answer: "),
        (says(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"), "answers 404 to GET /healthz"),
        (
            says(b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"),
            "answers 302",
        ),
        (drips, "does not answer: nothing came within"),
        (waits, "does not answer: "),
    ],
    ids=["no http", "hangs up", "404", "redirect", "drips", "silent"],
)
def test_one_that_does_not_is_told(serve, words):
    with server(serve) as url, pytest.raises(BadInput, match=words) as caught:
        must_answer(url)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("host", ["a" * 64 + ".com", "\u2603..com"])
def test_a_host_name_that_none_can_have_does_not_answer(host):
    with pytest.raises(BadInput, match="does not answer"):
        must_answer(backend_url(f"http://{host}"))


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:1/?a=b",
        "http://127.0.0.1:1/#c",
        "http://a b/",
        "http://a\udcff/",
        "http://127.0.0.1:1\r\nX: y",
        "http://" + "a" * 70_000,
        "http://127.0.0.1:0",
    ],
    ids=range(7),
)
def test_what_cannot_be_a_base_url_is_refused_in_few_words(text):
    with pytest.raises(BadInput, match="expected a URL") as caught:
        backend_url(text)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    "url", ["http://me:secret@127.0.0.1:8080", "http://me@h", "http://:secret@h/", "http://@h"]
)
def test_a_password_does_not_get_into_the_evidence(url):
    with pytest.raises(BadInput) as refusal:
        backend_url(url)
    assert "leave user and password out" in str(refusal.value)
    assert "secret" not in str(refusal.value)
