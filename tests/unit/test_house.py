from importlib.resources import files


def test_the_package_is_typed() -> None:
    assert files("coachman").joinpath("py.typed").is_file()
