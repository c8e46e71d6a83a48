"""Short arithmetic formulas over fields, parsed and checked, and never executed as Python code."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from faconv_cli.cube.units import units
from faconv_cli.errors import UsageError

LONGEST = 500  # characters; longer formulas may exceed Python's recursion limit

FUNCTIONS = {
    "hypot": 2,
    "sqrt": 1,
    "exp": 1,
    "log": 1,
    "abs": 1,
    "sin": 1,
    "cos": 1,
    "arctan2": 2,
    "minimum": 2,
    "maximum": 2,
}
OPERATORS: dict[type[ast.operator | ast.unaryop], str] = {
    ast.Add: "add",
    ast.Sub: "subtract",
    ast.Mult: "multiply",
    ast.Div: "divide",
    ast.Pow: "power",
    ast.USub: "negative",
    ast.UAdd: "positive",
}
# operators and functions by their NumPy names: applied to fields, and to their units
ON_FIELDS: Mapping[str, Callable[..., Any]] = {
    name: getattr(np, name) for name in (*OPERATORS.values(), *FUNCTIONS)
}
ON_UNITS: Mapping[str, Callable[..., Any]] = {
    **dict.fromkeys(("add", "subtract", "hypot"), units.added),
    **dict.fromkeys(("minimum", "maximum"), units.common),
    **dict.fromkeys(("exp", "log", "sin", "cos"), units.plain),
    **dict.fromkeys(("negative", "abs"), units.mirrored),
    "positive": lambda unit: unit,
    "multiply": units.product,
    "divide": units.quotient,
    "power": units.power,
    "sqrt": lambda unit: units.power(unit, units.number(0.5)),
    "arctan2": units.angle,
}
_ITEM = re.compile(r"\s*(\w+)\s*=([^=].*)", re.DOTALL)
# GRIB short names such as 10u and 2t are not valid Python names; but 1e5, 2.e3, 0x1f and 1_000 are numbers
_NUMBER = r"(?:\d+e\d+|\d+e(?=[+-]\d)|0[xob]\w+|\d+j|[\d_]+)(?!\w)"
_FROM_DIGIT = re.compile(rf"(?<![\w.])(?!{_NUMBER})(?=\d+[^\W\d])\w+", re.IGNORECASE)
_LETTER = "\u01c3"  # prefix for such names while Python parses the formula; does not occur in real names


@dataclass(frozen=True)
class Expression:
    """``name=formula``: + - * / **, numbers, names of channels and `FUNCTIONS`.

    Attributes:
        name: name of the result.
        text: the formula.
        tree: the parsed and checked formula.
        inputs: names of the channels in it, in order.
    """

    name: str
    text: str
    tree: ast.expr
    inputs: tuple[str, ...]

    @classmethod
    def parse(cls, item: str) -> Expression:
        """Parse a formula such as ``wind=hypot(u10,v10)``.

        Raises:
            UsageError: the text is not such a formula.
        """
        match = _ITEM.fullmatch(item)
        if not match or len(item) > LONGEST or not _is_name(match[1]):
            raise _refused(item, "is too long" if len(item) > LONGEST else "is not NAME=FORMULA")
        try:
            tree = ast.parse(_FROM_DIGIT.sub(rf"{_LETTER}\g<0>", match[2].strip()), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            raise _refused(item, "cannot be read") from None
        for node in ast.walk(tree):
            if isinstance(node, ast.Name):
                node.id = node.id.removeprefix(_LETTER)
        inputs: dict[str, None] = {}
        _check(tree, item, inputs)
        if not inputs:
            raise _refused(item, "names no variable")
        return cls(match[1], match[2].strip(), tree, tuple(inputs))

    def evaluate(self, fields: Mapping[str, np.ndarray]) -> np.ndarray:
        """Compute the formula point by point; undefined results (such as log(-1)) are not finite.

        Args:
            fields: float64 arrays of one shape, by name.
        """
        with np.errstate(all="ignore"):
            result: np.ndarray = _value(self.tree, fields, ON_FIELDS, np.float64)
        return result

    def units(self, given: Mapping[str, str]) -> str:
        """Return the units of the result, derived from those of the inputs; "" if they are not known.

        A number takes the units of what it is added to, and is dimensionless elsewhere.
        """
        known = {name: units.of_text(text) for name, text in given.items()}
        unit: units.Unit = _value(self.tree, known, ON_UNITS, units.number)
        return unit.text

    def is_difference(self, inputs: Sequence[bool]) -> bool:
        """Return whether the result is a difference: one field minus another, or made of differences only.

        Args:
            inputs: which of the inputs are differences.
        """
        match self.tree:
            case ast.BinOp(left, ast.Sub(), right):
                return all(inputs) or not any(isinstance(part, ast.Constant) for part in (left, right))
        return all(inputs)


def _is_name(text: str) -> bool:
    return text.isidentifier() or bool(_FROM_DIGIT.fullmatch(text))


def _check(node: ast.expr, item: str, inputs: dict[str, None]) -> None:
    """Refuse everything but arithmetic; collect the names of variables."""
    parts: list[ast.expr] = []
    match node:
        case ast.BinOp(left, operator, right) if type(operator) in OPERATORS:
            parts = [left, right]
        case ast.UnaryOp(operator, operand) if type(operator) in OPERATORS:
            parts = [operand]
        case ast.Call(ast.Name(function), parts, []) if function in FUNCTIONS:
            if len(parts) != FUNCTIONS[function]:
                raise _refused(item, f"gives {function} {len(parts)} values, not {FUNCTIONS[function]}")
        case ast.Name(name):
            inputs[name] = None
        case ast.Constant(value) if type(value) in (int, float):
            pass
        case _:
            raise _refused(item, f"holds {ast.unparse(node)[:40]!r}, which is not arithmetic")
    for part in parts:
        _check(part, item, inputs)


def _value(
    node: ast.expr,
    named: Mapping[str, Any],
    calls: Mapping[str, Callable[..., Any]],
    number: Callable[[float], Any],
) -> Any:
    """Evaluate a checked formula on any type that supports the operators and functions."""
    match node:
        case ast.BinOp(left, operator, right):
            name, parts = OPERATORS[type(operator)], [left, right]
        case ast.UnaryOp(operator, operand):
            name, parts = OPERATORS[type(operator)], [operand]
        case ast.Call(ast.Name(name), parts):
            pass
        case ast.Name(name):
            return named[name]
        case ast.Constant(value):
            return number(float(value))  # type: ignore[arg-type]
        case _:
            raise AssertionError(ast.dump(node))
    return calls[name](*(_value(part, named, calls, number) for part in parts))


def _refused(item: str, what: str) -> UsageError:
    return UsageError(
        f"--derive {item[:80]!r} {what}",
        wanted="a formula is NAME=FORMULA with variables, numbers, + - * / ** and the functions "
        f"{', '.join(FUNCTIONS)}",
        do="write it as in --derive 'wind=hypot(u10,v10)'",
    )
