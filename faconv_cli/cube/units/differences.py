"""Recognise variables that hold differences (anomalies, spreads, errors), for which °C and K are the same."""

from __future__ import annotations

import re

_STANDARD_NAME = re.compile(
    r"_anomaly$|_difference|_depression$|^change_over_time_in_|^tendency_of_|\b(?:standard_error|detection_minimum)$"
)
# words in free-text names; a "mean daily range" is a difference, a "long-range" forecast is not
_WORD = re.compile(
    r"(?<![a-z])(?:anom(?:al(?:y|ies|ous))?s?|dtr|(?:diurnal|daily|temperature|interquartile) (?:\w+ )?range"
    r"|depression|departures?|deviations?|differences?|tendency|increments?"
    r"|minus (?:the )?(?:climatology|mean|normal))(?![a-z])",
)
# only in names of variables: tanom, anomt; ano; ssta
_TOKEN = re.compile(r"\w*anom(?!et)\w*|anos?|(?:sst|t2m|sat|lst)a")
# words used just as often for the quantity itself: "bias-adjusted temperature", "temperature and its error"
_WEAK = (
    r"(?<![a-z])(?:bias(?:es)?|uncertaint(?:y|ies)|spread|(?:standard )?errors?|lapse[\s-]rate"
    r"|perturbations?)"
)
_WEAK_WORD = re.compile(_WEAK + r"(?![a-z])")
_WEAK_HEAD = re.compile(rf"^{_WEAK}(?![a-z])|{_WEAK}$")
_MENDED = r"(?:adj(?:ust\w*)?|corr?(?:ect\w*)?|remov\w+|reduc\w+|filter\w*|weight\w*|free)(?![a-z])"
_ASIDE = re.compile(
    rf"\([^)]*\)|\[[^\]]*\]|{_WEAK}[\s-]*{_MENDED}"
    r"|(?<![a-z])(?:adjusted|corrected) (?:for|by|with|using) [^,;]*"
    r"|(?<![a-z])(?:and|with|without|including|no|after|before) (?:[\w-]+ )*?" + _WEAK + r"(?![a-z])[^,;]*"
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_SPREAD = re.compile(r":\s*(?:standard_deviation|range)\b")


def is_difference(
    name: str, long_name: str, standard_name: str, cell_methods: str = "", units_metadata: str = ""
) -> bool:
    """Return whether a variable holds differences, for which degrees Celsius and kelvin are the same.

    The evidence is ``units_metadata`` or the standard name (CF conventions, sections 3.1.2 and 3.3), a cell
    method of spread, or a word such as anomaly or diurnal range in a name. Words such as bias, error and
    spread count unless said in passing, as in "bias-adjusted" or "and its uncertainty". If there is a
    standard name, which is that of the quantity itself, they count only at the start or end of a name.
    """
    if "difference" in units_metadata or "on_scale" in units_metadata:
        return "difference" in units_metadata
    if _SPREAD.search(re.sub(r"\([^)]*\)", "", cell_methods)) or _STANDARD_NAME.search(standard_name):
        return True
    words = _CAMEL.sub(" ", name).replace("_", " ").lower()
    texts = words, long_name.replace("_", " ").lower()
    if any(map(_TOKEN.fullmatch, words.split())) or any(map(_WORD.search, texts)):
        return True
    weak = _WEAK_HEAD if standard_name else _WEAK_WORD
    return any(weak.search(_ASIDE.sub(" ", text).strip()) for text in texts)
