"""Why a variable of a file is not taken, in the parts of an error."""

from __future__ import annotations

from dataclasses import dataclass

from faconv_cli.errors import InputError


@dataclass(frozen=True)
class Refusal:
    """Why a variable is not a channel, in the parts of an error; a larger ``stage`` came nearer.

    ``wrong`` tells that its files are, which is an error for whoever wants the variable; the reason is then
    a sentence of its own.
    """

    reason: str
    wanted: str
    do: str
    stage: int = 0
    wrong: bool = False

    def as_error(self, name: str, where: str) -> InputError:
        """The error for someone who wants the variable of that name."""
        found = self.reason if self.wrong else f"{where}: {name} has {self.reason}"
        return InputError(found, wanted=self.wanted, do=self.do)

    @property
    def told(self) -> str:
        """The reason, with what to do where an option is all that is missing."""
        return f"{self.reason}: {self.do}" if "--" in self.do else self.reason
