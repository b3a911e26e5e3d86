"""Which imports took the time: what was measured of every module, added up for each package."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from coachman.protocol.value import Value


class ModuleImport(Value):
    """One module that was imported."""

    name: str
    self_seconds: float
    """Without the modules that it imported in turn."""
    seconds: float
    importers: tuple[str, ...]
    """The modules, outermost first, whose import was under way."""


class PackageImport(Value):
    """A package, with everything below it."""

    name: str
    self_seconds: float
    """Spent in its own modules."""
    seconds: float
    """From the outside: with everything that it imported in turn."""
    modules: int


def by_package(imports: Iterable[ModuleImport]) -> list[PackageImport]:
    """Return the packages at the top level, the one that took longest from the outside first."""
    totals: dict[str, PackageImport] = {}
    for module in imports:
        name = package_of(module.name)
        total = totals.get(name, PackageImport(name, 0.0, 0.0, 0))
        # What is imported by the same package is in its time already.
        nested = any(package_of(importer) == name for importer in module.importers)
        totals[name] = PackageImport(
            name,
            total.self_seconds + module.self_seconds,
            total.seconds + (0.0 if nested else module.seconds),
            total.modules + 1,
        )
    return sorted(totals.values(), key=lambda package: (-package.seconds, package.name))


def package_of(module: str) -> str:
    """Return the name at the top level."""
    return module.partition(".")[0]


def to_fields(packages: Sequence[PackageImport]) -> list[str]:
    """Return them as elements of a message."""
    return [f"{p.name} {p.self_seconds:.6f} {p.seconds:.6f} {p.modules}" for p in packages]


def from_fields(fields: Iterable[str]) -> tuple[PackageImport, ...]:
    """Read what `to_fields` wrote; raise ValueError where it is something else."""
    packages = []
    for field in fields:
        name, own, whole, modules = field.rsplit(" ", 3)
        packages.append(PackageImport(name, float(own), float(whole), int(modules)))
    return tuple(packages)
