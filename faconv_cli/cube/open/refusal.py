"""Why a variable of a file is refused, as the parts of an error."""

from __future__ import annotations

from dataclasses import dataclass

from faconv_cli.errors import InputError


@dataclass(frozen=True)
class Refusal:
    """Why a variable cannot be a channel, as the parts of an error.

    A variable with a larger ``stage`` came closer to being one. ``wrong`` means that its files are faulty,
    which is an error if the variable is wanted; the reason is then a full sentence.
    """

    reason: str
    wanted: str
    do: str
    stage: int = 0
    wrong: bool = False

    def as_error(self, name: str, where: str) -> InputError:
        """Return the error to raise if the variable of that name is wanted."""
        found = self.reason if self.wrong else f"{where}: {name} has {self.reason}"
        return InputError(found, wanted=self.wanted, do=self.do)

    @property
    def told(self) -> str:
        """Return the reason, with what to do if only an option is missing."""
        return f"{self.reason}: {self.do}" if "--" in self.do else self.reason
