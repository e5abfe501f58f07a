"""What niwaki raises; importable without the native part, and picklable."""

from __future__ import annotations


class Error(Exception):
    """The base: a code that `niwaki explain CODE` knows, a cause, a place, and what to do next."""

    exit_code = 5

    def __init__(self, message: str, code: str = "", where: str = "", found: str = "", hint: str = ""):
        self.message, self.code, self.where, self.found, self.hint = message, code, where, found, hint
        lines = [f"error[{code}]: {message}" if code else message]
        lines += [f"  --> {where}"] if where else []
        lines += [f"   |  {found}"] if found else []
        lines += [f"help: {hint}"] if hint else []
        self._text = "\n".join(lines)
        super().__init__(self._text)

    def __str__(self) -> str:
        return self._text

    def __reduce__(self):
        return type(self), (self.message, self.code, self.where, self.found, self.hint)

    def to_dict(self) -> dict[str, str]:
        return {"code": self.code, "message": self.message, "where": self.where, "found": self.found, "help": self.hint}


class UsageError(Error, ValueError):
    """An argument, option or recipe is wrong; nothing was started."""

    exit_code = 2


class ModelError(Error, ValueError):
    """The file, the graph or the data is wrong."""

    exit_code = 3


class UnsupportedError(Error, NotImplementedError):
    """It is valid, and Niwaki cannot do it."""

    exit_code = 3


class EnvironmentError(Error, OSError):  # noqa: A001  the name of the contract
    """Disk, memory, permission, a missing file or runtime."""

    exit_code = 4


class InternalError(Error, RuntimeError):
    """A bug in Niwaki."""

    exit_code = 5


class GateMissed(Exception):
    """A limit was missed or stayed inconclusive; `.report` says by how much."""

    def __init__(self, message: str, report=None):
        super().__init__(message)
        self.report = report

    def __reduce__(self):
        return type(self), (self.args[0], self.report)
