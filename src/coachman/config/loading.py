"""From what was given on the command line, in the environment and in the file to the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

from coachman.config.addresses import Address, TcpAddress
from coachman.config.building import application_config, supervisor_config
from coachman.config.config_file import ConfigFile, find_config_file, read_config_file
from coachman.config.layers import (
    NAME,
    Found,
    Layer,
    defaults,
    from_environment,
    from_file,
    from_options,
    joined,
    refuse_unknown,
)
from coachman.config.model import ApplicationConfig, SupervisorConfig
from coachman.config.nearest import nearest
from coachman.config.settings import APPLICATION, APPLICATION_SETTINGS, SUPERVISOR_SETTINGS
from coachman.errors import ConfigurationError

TABLES: Final = "applications"
PREFIX: Final = "COACHMAN_"
FILE_VARIABLE: Final = PREFIX + "CONFIG"
ALL: Final = (APPLICATION, *APPLICATION_SETTINGS)
OWN: Final = ("app", "bind", NAME)
"""What two applications cannot have in common."""


@dataclass(frozen=True, slots=True)
class Given:
    """Everything that was given, apart from the file's content."""

    options: Mapping[str, Any]
    """Values that were read already, by key."""
    application: str | None
    """The argument APP."""
    file: Path | None
    """Of ``--config``."""
    environment: Mapping[str, str]
    folder: Path
    """The current one."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """The configuration, and where each of its values comes from."""

    given: Given
    config: SupervisorConfig
    file: Path | None
    supervisor: Layer
    applications: Mapping[str, Layer]
    """By the application's title."""
    notes: tuple[str, ...]
    """What looks like a mistake, but may be none."""

    def read_again(self) -> SupervisorConfig:
        """Return what is configured by now: by the same file, if there was one, options and variables.

        Raises `ConfigurationError`, with the place, for whatever is wrong.
        """
        return load(replace(self.given, file=self.file)).config


def load(given: Given) -> Loaded:
    """Return the configuration.

    The file is that of ``--config`` or of ``COACHMAN_CONFIG``; where there is none of these and no
    application is named, that of the current folder. Without a file the application is the one that was
    named, or the current folder. Raises `ConfigurationError`, with the place, for whatever is wrong.
    """
    file = _file(given)
    tables: tuple[str, ...] = ()
    if file is not None:
        tables = _tables(file)
        top = [setting.key for setting in (*ALL, *SUPERVISOR_SETTINGS)]
        refuse_unknown(file, (), [*top, TABLES])
    supervisor = joined(
        defaults(SUPERVISOR_SETTINGS),
        from_file(file, (), SUPERVISOR_SETTINGS) if file else {},
        from_environment(given.environment, SUPERVISOR_SETTINGS, given.folder),
        from_options(given.options, SUPERVISOR_SETTINGS),
    )
    over = joined(_variables(given), _options(given))
    if len(tables) > 1 or (tables and "app" in over):
        assert file is not None
        _refuse_common(file, tables, over)
    common = joined(defaults(APPLICATION_SETTINGS), from_file(file, (), ALL) if file else {})
    layers = [_application(file, table, common, over, given) for table in tables or ("",)]
    applications = tuple(_config(layer) for layer in layers)
    _refuse_shared_addresses(file, tables, applications)
    settled = {key: found.value for key, found in supervisor.items()}
    for config, layer in zip(applications, layers, strict=True):
        if not layer[NAME].value:
            layer[NAME] = Found(config.title, layer[NAME].origins)
    return Loaded(
        given=given,
        config=supervisor_config(applications, settled),
        file=None if file is None else file.path,
        supervisor=supervisor,
        applications={config.title: layer for config, layer in zip(applications, layers, strict=True)},
        notes=_notes(given.environment),
    )


def _file(given: Given) -> ConfigFile | None:
    path = given.file
    if path is None and given.environment.get(FILE_VARIABLE):
        path = given.folder / given.environment[FILE_VARIABLE]
    if path is None:
        return None if given.application is not None else find_config_file(given.folder)
    file = read_config_file(path)
    if not file.table and path.name == "pyproject.toml":
        raise file.error("there is no table [tool.coachman]")
    return file


def _tables(file: ConfigFile) -> tuple[str, ...]:
    """Return the names of the applications that have a table of their own."""
    tables = file.table.get(TABLES, {})
    if not isinstance(tables, dict):
        raise file.error(f"{TABLES} has to be tables: [{TABLES}.NAME]", TABLES)
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise file.error(f"{name!r} is no table: write [{TABLES}.NAME] with settings below", TABLES, name)
        if not name.isprintable() or not name or "/" in name:
            raise file.error(f"{name!r} is no name for an application", TABLES, name)
        refuse_unknown(file, (TABLES, name), [s.key for s in ALL if s.key != NAME])
        if "app" not in table:
            missing = f"the application {name!r} has no app; write, for example, app = 'module:attribute'"
            raise file.error(missing, TABLES, name)
    if tables:
        for key in OWN:
            if key in file.table:
                raise file.error(f"{key} at the top is for a file without [{TABLES}.NAME]", key)
    return tuple(tables)


def _variables(given: Given) -> Layer:
    return from_environment(given.environment, ALL, given.folder)


def _options(given: Given) -> Layer:
    options = from_options(given.options, APPLICATION_SETTINGS)
    if given.application is None:
        return options
    location = APPLICATION.parse(given.application, given.folder)
    return {**options, APPLICATION.key: Found(location, ("argument",))}


def _refuse_common(file: ConfigFile, tables: tuple[str, ...], over: Layer) -> None:
    for key in OWN:
        if key in over:
            what = "APP" if over[key].origins == ("argument",) else over[key].origins[0]
            raise ConfigurationError(
                f"{what} cannot be given for the applications of {file.path} ({', '.join(tables)}): "
                f"set {key} in the table of each"
            )


def _application(
    file: ConfigFile | None, table: str, common: Layer, over: Layer, given: Given
) -> dict[str, Found]:
    own: Layer = {}
    if table:
        assert file is not None
        own = {NAME: Found(table, (file.place(TABLES, table),)), **from_file(file, (TABLES, table), ALL)}
    layer = joined(common, own, over)
    if APPLICATION.key not in layer:
        folder = given.folder if file is None else file.folder
        layer[APPLICATION.key] = Found(APPLICATION.parse(".", folder), ("default",))
    return layer


def _config(layer: Layer) -> ApplicationConfig:
    values = {key: found.value for key, found in layer.items()}
    return application_config(values.pop(APPLICATION.key), values)


def _refuse_shared_addresses(
    file: ConfigFile | None, tables: tuple[str, ...], applications: tuple[ApplicationConfig, ...]
) -> None:
    taken: dict[Address, str] = {}
    for application, table in zip(applications, tables, strict=False):
        for address in application.addresses:
            chosen_by_kernel = isinstance(address, TcpAddress) and not address.port
            if address in taken and not chosen_by_kernel:
                assert file is not None
                raise file.error(
                    f"bind: {address} is the address of [{TABLES}.{taken[address]}] as well; "
                    "each application needs one of its own",
                    TABLES,
                    table,
                    "bind",
                )
            taken[address] = table


def _notes(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Name the variables that are nearly those of settings.

    They are not refused: Kubernetes, for one, makes COACHMAN_PORT and its kin for a service of that name.
    """
    known = [FILE_VARIABLE, *(setting.variable for setting in (*ALL, *SUPERVISOR_SETTINGS))]
    words = [name.removeprefix(PREFIX) for name in known]
    return tuple(
        f"the variable {name} is none of coachman's{guess}"
        for name in environment
        if name.startswith(PREFIX) and name not in known
        if (guess := nearest(name.removeprefix(PREFIX), words, PREFIX))
    )
