"""Many servers have their last words in one piece of memory, each its own."""

from __future__ import annotations

import os

from coachman.server.last_words import SERVERS, LastWords, words_file


def test_each_has_its_own_room_and_what_is_given_back_is_empty_when_it_is_taken_again() -> None:
    for _ in range(2):
        every = [LastWords() for _ in range(3 * SERVERS)]
        assert all(words.read() == "" for words in every)
        for number, words in enumerate(every):
            words.leave(f"{number} " * number)
        for number, words in enumerate(every):
            assert words.read() == (f"{number} " * number).strip()[:1022]
            words.close()


def test_a_child_gives_nothing_away_that_its_parent_uses() -> None:
    words = LastWords()
    pid = os.fork()
    if pid == 0:
        words.close()  # it has inherited a server, and lets go of it
        LastWords().leave("of the child's own server")
        os._exit(0)
    os.waitpid(pid, 0)
    assert words.read() == ""
    words.close()


def test_a_spawned_server_has_a_file_for_them() -> None:
    file = words_file()
    ours, theirs = LastWords(file), LastWords(file)
    os.close(file)
    theirs.leave("two\nlines")
    assert ours.read() == "two lines"
    ours.close()
    theirs.close()
