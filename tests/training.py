"""Which tests train a network: those that touch the room ``fit``, or type a command that trains.

Found from the code of a test, of the helpers it calls and of the fixtures it asks for, so that nobody has
to mark a test by hand.
"""

from collections.abc import Iterator
from functools import cache
from types import CodeType, FunctionType

import pytest

COMMANDS = {"train", "compare"}
ROOMS = ("faconv_cli.fit", "faconv_cli.compare.run")


def trains(item: pytest.Function) -> bool:
    """Tell whether a test, or a fixture it asks for, trains."""
    fixtures = [made for found in item._fixtureinfo.name2fixturedefs.values() for made in found]
    functions = [item.function, *(fixture.func for fixture in fixtures)]
    given = list(item.callspec.params.values()) if hasattr(item, "callspec") else []
    return any(map(_is_training, given)) or any(
        _leads_to_training(one) for one in functions if isinstance(one, FunctionType)
    )


@cache
def _leads_to_training(function: FunctionType) -> bool:
    """Follow a function to the functions of the tests that it names."""
    seen, waiting = set(), [function]
    while waiting:
        at = waiting.pop()
        if at in seen:
            continue
        seen.add(at)
        for value in _named(at):
            if _is_training(value):
                return True
            if str(getattr(value, "__module__", "")).startswith("tests."):
                parts = vars(value).values() if isinstance(value, type) else (value,)
                waiting += [part for part in parts if isinstance(part, FunctionType)]
    return False


def _named(function: FunctionType) -> Iterator[object]:
    """Constants of a function, and what its global names stand for."""
    codes = [function.__code__]
    while codes:
        code = codes.pop()
        yield from (function.__globals__.get(name) for name in code.co_names)
        for constant in code.co_consts:
            if isinstance(constant, CodeType):  # a function, lambda or comprehension inside
                codes.append(constant)
            else:
                yield constant


def _is_training(value: object) -> bool:
    if isinstance(value, str):
        return value in COMMANDS
    if isinstance(value, list | tuple | set | frozenset):
        return any(map(_is_training, value))
    return str(getattr(value, "__module__", "")).startswith(ROOMS)
