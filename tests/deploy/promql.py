"""What an expression of PromQL asks for: selectors, labels, durations. No parser: promtool checks
the syntax; this finds names in expressions that it has accepted."""

import dataclasses
import re

_STRING = re.compile(r'"(?:\\.|[^"\\])*"')
_GROUPING = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_KEYWORDS = {"and", "or", "unless", "by", "without", "on", "ignoring", "group_left", "group_right",
             "bool", "offset", "inf", "nan", "Inf", "NaN"}
_SELECTOR = re.compile(r"(?<![\w.$:])([a-zA-Z_:][\w:]*)(\s*\{[^}]*\})?(\s*\[[^\]]*\])?(?!\s*\()(?![\w:])")
_MATCHER = re.compile(r'([a-zA-Z_]\w*)\s*(=~|!~|!=|=)\s*"((?:\\.|[^"\\])*)"')
_DURATION = re.compile(r"(?<![\w.])(\d+)(ms|[smhdw])(?![\w])")
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


@dataclasses.dataclass(frozen=True)
class Selector:
    metric: str
    matchers: tuple  # of (label, operator, value)
    is_range: bool
    text: str  # without the range


def _blank(text, pattern):
    """The text with every match replaced by as many blanks, so that places stay."""
    return pattern.sub(lambda match: " " * len(match.group(0)), text)


def selectors(expr):
    """Every selector of the expression, in order."""
    masked = _STRING.sub(lambda match: '"' + "." * (len(match.group(0)) - 2) + '"', expr)
    masked = _blank(masked, _GROUPING)
    masked = _blank(masked, re.compile(r"\boffset\s+[\w$]+"))
    for match in _SELECTOR.finditer(masked):
        name = match.group(1)
        if name in _KEYWORDS:
            continue
        braces = expr[match.start(2):match.end(2)] if match.group(2) else ""
        yield Selector(name, tuple(_MATCHER.findall(braces)), match.group(3) is not None,
                       (name + braces).strip())


def grouping_labels(expr):
    """The labels of all by, on, ignoring, group_left … clauses."""
    masked = _STRING.sub('""', expr)
    return {label.strip() for names in _GROUPING.findall(masked)
            for label in names.split(",") if label.strip()}


def variables(text):
    """Names of Grafana's variables in a text, its own ($__…) left out."""
    return {name for name in re.findall(r"\$\{?(\w+)", text) if not name.startswith("__")}


def seconds(duration):
    """3m, 1h30m → seconds."""
    parts = _DURATION.findall(re.sub(r"(\D)(?=\d)", r"\1 ", duration))
    if not parts:
        raise ValueError(f"expected a duration such as 5m, found {duration!r}")
    return sum(int(number) * _SECONDS[unit] for number, unit in parts)


def with_durations(expr, change):
    """The expression with change(seconds) → seconds applied to ranges and offsets."""
    def replace(match):
        changed = change(seconds(match.group(2)))
        return f"{match.group(1)}{max(1, round(changed * 1000))}ms{match.group(3)}"
    expr = re.sub(r"(\[)((?:\d+(?:ms|[smhdw]))+)(\])", replace, expr)
    return re.sub(r"(\boffset\s+)((?:\d+(?:ms|[smhdw]))+)()", replace, expr)
