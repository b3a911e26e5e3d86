import pytest

from coachman import hooks


@pytest.fixture(autouse=True)
def no_hooks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hooks, "_before_fork", [])
    monkeypatch.setattr(hooks, "_after_fork_in_worker", [])


def test_hooks_run_in_the_order_of_their_definition() -> None:
    ran = []

    @hooks.before_fork
    def one() -> None:
        ran.append("one")

    @hooks.before_fork
    def two() -> None:
        ran.append("two")

    @hooks.after_fork_in_worker
    def three() -> None:
        ran.append("three")

    hooks.run_before_fork()
    assert ran == ["one", "two"]
    hooks.run_after_fork_in_worker()
    assert ran == ["one", "two", "three"]


def test_a_decorated_function_stays_what_it_was() -> None:
    def hook() -> str:
        return "called"

    assert hooks.before_fork(hook) is hook
    assert hooks.after_fork_in_worker(hook)() == "called"
