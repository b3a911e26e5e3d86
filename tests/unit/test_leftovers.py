import asyncio
import os
import socket
import threading

from coachman.worker.leftovers import Leftover, Origins, find_leftovers


def open_sockets() -> set[int]:
    """Return the sockets that the test runner itself has."""
    return {leftover_fd(found) for found in find_leftovers(Origins(), ()) if found.kind == "socket"}


def leftover_fd(leftover: Leftover) -> int:
    return int(leftover.what.split("descriptor ")[1].split()[0])


def test_a_thread_is_found_with_the_place_that_started_it() -> None:
    end = threading.Event()
    with Origins() as origins:
        thread = threading.Thread(target=end.wait, name="ticker")
        thread.start()
    try:
        found = [x.what for x in find_leftovers(origins, ()) if "ticker" in x.what]
        assert len(found) == 1
        assert f"'ticker' (from {__file__}:" in found[0]
    finally:
        end.set()
        thread.join()


def test_a_thread_that_has_ended_is_not_found() -> None:
    with Origins() as origins:
        thread = threading.Thread(target=lambda: None, name="short")
        thread.start()
        thread.join()
    assert not [x for x in find_leftovers(origins, ()) if "short" in x.what]


def test_a_socket_is_found_with_the_place_that_made_it() -> None:
    before = open_sockets()
    with Origins() as origins, socket.socket() as made:
        found = find_leftovers(origins, before)
        (leftover,) = [x for x in found if x.kind == "socket"]
        assert leftover_fd(leftover) == made.fileno()
        assert f"(from {__file__}:" in leftover.what


def test_a_socket_of_ones_own_is_left_out() -> None:
    before = open_sockets()
    with Origins() as origins, socket.socket() as made:
        found = find_leftovers(origins, before | {made.fileno()})
        assert not [x for x in found if x.kind == "socket"]


def test_an_event_loop_is_found_until_it_is_closed() -> None:
    loop = asyncio.new_event_loop()
    try:
        assert [x.what for x in find_leftovers(Origins(), ()) if x.kind == "event loop"]
    finally:
        loop.close()
    assert not [x.what for x in find_leftovers(Origins(), ()) if x.kind == "event loop"]


def test_a_lazy_object_is_left_alone() -> None:
    class Lazy:
        def __init__(self) -> None:
            self.content: list[str] = []

        @property  # type: ignore[misc]  # so do proxies
        def __class__(self) -> type:
            raise RuntimeError("this needs a request")

    lazy = Lazy()
    assert "event loop" not in {found.kind for found in find_leftovers(Origins(), ())}
    assert lazy.content == []


def test_origins_put_everything_back() -> None:
    before = (threading.Thread.start, socket.socket.__init__)
    with Origins():
        assert (threading.Thread.start, socket.socket.__init__) != before
    assert (threading.Thread.start, socket.socket.__init__) == before
    assert os.path.basename(threading.Thread.start.__code__.co_filename) == "threading.py"
