"""A sandbox for Jinja in which every template ends, and whose errors name a line.

Steps are counted, and the size of values is limited, so that a template may run inside a process
that serves others.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from types import TracebackType
from typing import Any

from jinja2 import (
    StrictUndefined,
    Template,
    TemplateError,
    TemplateSyntaxError,
    Undefined,
    nodes,
)
from jinja2.exceptions import SecurityError, TemplateAssertionError, UndefinedError
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import SandboxedEnvironment

from warehouse.errors import QueryError

# Prefix of the names of macros in their templates, as in dbt.
MACRO = "dbt_macro__"

# Names besides macros that dbt's templates may use.
IN_DBT = (
    *("adapter", "api", "builtins", "column", "compiled_code", "config", "context", "database"),
    *("doc", "env_var", "exceptions", "execute", "flags", "fromjson", "fromyaml", "graph"),
    *("invocation_id", "load_result", "local_md5", "log", "model", "modules", "post_hooks"),
    *("pre_hooks", "print", "project_name", "render", "run_started_at", "schema"),
    *("selected_resources", "set", "set_strict", "source_node", "sql", "sql_now", "store_result"),
    *("target", "this", "thread_id", "tojson", "toyaml", "validation", "write"),
    *("zip", "zip_strict"),
)

_MOST_STEPS = 1_000_000
_LONGEST = 1_000_000
_LARGEST_BITS = 2_000
_STEP_SIZE = 1_000
_FORMAT_WIDTH = re.compile(r"%[^a-zA-Z%]*(?:\*|\d{4,})")
_MISTAKES = (
    *(TemplateError, TypeError, ValueError, ArithmeticError, LookupError, AttributeError),
    *(RecursionError, MemoryError, SyntaxError),
)
_FILTERS = (
    *("abs", "capitalize", "count", "d", "default", "first", "float", "int", "items", "last"),
    *("length", "list", "lower", "map", "max", "min", "reject", "rejectattr", "reverse", "round"),
    *("select", "selectattr", "sort", "trim", "unique", "upper"),
)
_METHODS: dict[type, str] = {
    str: "capitalize count endswith find index isalnum isalpha isdecimal isdigit islower isupper"
    " join lower lstrip removeprefix removesuffix replace rsplit rstrip split splitlines startswith"
    " strip title upper",
    list: "append count index insert pop remove reverse",
    dict: "get items keys pop setdefault update values",
    tuple: "count index",
}


class TemplateMistake(QueryError):
    """A template that dbt could not render either, or would render without an end.

    ``line`` is its line in the text, or None.
    """

    def __init__(self, what: str, line: int | None = None) -> None:
        self.reason = what
        self.line = line
        super().__init__(f"line {line}: {what}" if line else what)


class UnsupportedTemplate(TemplateMistake):
    """A template that needs dbt itself, or exceeds the limits."""


class TemplateValue:
    """A value of this package that templates may write as text."""


@contextmanager
def naming_lines(name: str, before: int = 0) -> Iterator[None]:
    """Errors of the template ``name`` become `TemplateMistake` with the line of its text.

    ``before`` are the lines of the text that the template does not have.
    """
    try:
        yield
    except TemplateMistake as error:
        line = next(_lines(error.__traceback__, name), None)
        if error.line is not None or line is None:
            raise
        raise type(error)(error.reason, before + line) from error
    except TemplateSyntaxError as error:
        words = error.message or str(error)
        is_unsupported = isinstance(error, TemplateAssertionError) or "unknown tag" in words
        kind = UnsupportedTemplate if is_unsupported else TemplateMistake
        here = error.lineno if error.name == name else next(_lines(error.__traceback__, name), 1)
        raise kind(words, before + here) from error
    except _MISTAKES as error:
        is_unsupported = isinstance(error, (UndefinedError, SecurityError))
        kind = UnsupportedTemplate if is_unsupported else TemplateMistake
        words = str(error) or type(error).__name__
        here = next(_lines(error.__traceback__, name), 1)
        raise kind(words, before + here) from error


def _lines(trace: TracebackType | None, name: str) -> Iterator[int]:
    """Lines of the template ``name`` in an error's traceback, the outermost first."""
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == name:
            yield trace.tb_lineno
        trace = trace.tb_next


class Sandbox(SandboxedEnvironment):
    """Jinja in which every template ends: steps are counted, and sizes of values are limited."""

    intercepted_binops = frozenset({"+", "*", "**", "%"})

    def __init__(self) -> None:
        super().__init__(
            undefined=StrictUndefined,
            autoescape=False,
            finalize=self._shown,
            extensions=["jinja2.ext.do", "jinja2.ext.loopcontrols", _Tests],
        )
        self._left = _MOST_STEPS
        self._templates: dict[str, Template] = {}
        plain = {name: self.filters[name] for name in _FILTERS}
        ours = {"join": self._join, "replace": self._replace, "string": self._shown}
        self.filters = {name: self._charged(act) for name, act in (plain | ours).items()}
        self.tests = {name: self._charged(act) for name, act in self.tests.items()}
        self.globals = {
            "range": self._range,
            "namespace": self.globals["namespace"],
            "dict": dict,
            "_compared": lambda value: value,  # the call counts its items
            "_step": lambda: self.spend(1),
            "_concat": lambda *parts: self._limited("".join(map(self._shown, parts))),
        }

    def begin(self) -> None:
        """Begin to count the steps of another text."""
        self._left = _MOST_STEPS

    def loaded(self, text: str, name: str) -> Template:
        """A template of a text, compiled once."""
        template = self._templates.get(text)
        if template is None:
            with warnings.catch_warnings():  # from Python, for texts such as '\\w'
                warnings.simplefilter("ignore")
                code = self.compile(self._parse(text, name, name), name, name)
            template = Template.from_code(self, code, self.globals)
            self._templates[text] = template
        self.spend(1 + len(text) // (10 * _STEP_SIZE))
        return template

    def spend(self, steps: int) -> None:
        self._left -= steps
        if self._left < 0:
            raise TemplateMistake("the template takes too many steps: it may have no end")

    def _parse(self, source: str, name: str | None, filename: str | None) -> nodes.Template:
        return _Parser(self, source, name, filename).parse()

    def is_safe_attribute(self, obj: Any, attr: str, value: Any) -> bool:
        for kind, names in _METHODS.items():
            if isinstance(obj, kind):
                return attr in names.split()
        return super().is_safe_attribute(obj, attr, value)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        if operator == "*":
            self._require_small(_size(left) * abs(right) if isinstance(right, int) else 0)
            self._require_small(_size(right) * abs(left) if isinstance(left, int) else 0)
        elif operator == "%" and isinstance(left, str) and _FORMAT_WIDTH.search(left):
            raise UnsupportedTemplate(f"{left!r}: this width is too large")
        elif operator == "**" and _bits(left) * abs(right) > _LARGEST_BITS:
            raise UnsupportedTemplate("the number is too large")
        return self._limited(super().call_binop(context, operator, left, right))

    def call(__self, __context: Any, __obj: Any, *args: Any, **named: Any) -> Any:
        owner = getattr(__obj, "__self__", None)
        __self.spend(1 + sum(map(_cost, (owner, *args, *named.values()))))
        __self._require_no_growth(getattr(__obj, "__name__", ""), owner, args)
        return __self._limited(super().call(__context, __obj, *args, **named))

    def _charged(self, act: Any) -> Any:
        """A filter or test whose steps are counted.

        Only dbt knows whether one of its names ``is defined``, except that ``flags`` is not here,
        by which the built-in macros find out that dbt does not run them.
        """

        @wraps(act)
        def charged(*args: Any, **named: Any) -> Any:
            for one in args:
                name = one._undefined_name if isinstance(one, Undefined) else None
                if name in IN_DBT and name != "flags":
                    one._fail_with_undefined_error()
            self.spend(1 + sum(map(_cost, (*args, *named.values()))))
            return self._limited(act(*args, **named))

        return charged

    def _join(self, value: Iterable[Any], between: str = "") -> str:
        texts = [self._shown(part) for part in value]
        self._require_no_growth("join", between, (texts,))
        return between.join(texts)

    def _replace(self, value: Any, old: str, new: str, count: int = -1) -> str:
        text = self._shown(value)
        self._require_no_growth("replace", text, (old, new))
        return text.replace(old, new, count)

    def _require_no_growth(self, name: str, owner: object, args: Any) -> None:
        """Refuse operations whose result would be far larger than their operands."""
        if not isinstance(owner, str):
            return
        if name == "join" and args:
            self._require_small(sum(len(piece) + len(owner) for piece in args[0]))
        elif name == "replace" and len(args) > 1:
            self._require_small(owner.count(str(args[0])) * len(str(args[1])))

    def _limited(self, value: Any) -> Any:
        """Count the size of a value, and refuse one that is too large."""
        if _bits(value) > _LARGEST_BITS:
            raise UnsupportedTemplate("the number is too large")
        self._require_small(_size(value))
        self.spend(_cost(value))
        return value

    @staticmethod
    def _require_small(size: int) -> None:
        if size > _LONGEST:
            raise UnsupportedTemplate("the template creates a string or list that is too long")

    def _range(self, *bounds: int) -> range:
        found = range(*bounds)
        self._require_small(len(found))
        return found

    def _shown(self, value: Any) -> str:
        """A value as text; lists of lists are refused, because they may be endless."""
        parts = value.values() if isinstance(value, dict) else value
        if isinstance(value, (list, tuple, dict)):
            if any(isinstance(part, (list, tuple, dict)) for part in parts):
                raise UnsupportedTemplate("a list of lists cannot be written as text")
        elif not isinstance(value, (str, int, float, Undefined, TemplateValue, type(None))):
            raise UnsupportedTemplate(f"a {type(value).__name__} cannot be written as text")
        text = str(value)
        self.spend(_cost(text))
        return text


class Patterns:
    """Python's ``re``, for patterns whose work is bounded by the length of the text."""

    def fullmatch(self, pattern: str, text: str) -> bool:
        return re.fullmatch(self._checked(pattern, text), text) is not None

    def match(self, pattern: str, text: str) -> bool:
        return re.match(self._checked(pattern, text), text) is not None

    def search(self, pattern: str, text: str) -> bool:
        return re.search(self._checked(pattern, text), text) is not None

    @staticmethod
    def _checked(pattern: str, text: str) -> str:
        repeats = len(re.findall(r"[*+?{]", pattern))
        if "(" in pattern or (len(text) + 1) ** (repeats + 1) > 100 * _LONGEST:
            raise UnsupportedTemplate(
                f"re: the pattern {pattern!r} may take too long on {len(text)} characters"
            )
        return pattern


def _size(value: object) -> int:
    return len(value) if isinstance(value, (str, list, tuple, dict, range)) else 0


def _bits(value: object) -> int:
    return value.bit_length() if isinstance(value, int) else 0


def _cost(value: object) -> int:
    """Steps for a value: one for each item, or for a thousand characters.

    Items of lists in lists count as often as they occur, because a comparison looks at each.
    """
    if isinstance(value, str):
        return len(value) // _STEP_SIZE
    steps, waiting = 0, [value]
    while waiting and steps <= _MOST_STEPS:
        item = waiting.pop()
        steps += _size(item) // _STEP_SIZE if isinstance(item, str) else _size(item)
        if isinstance(item, (list, tuple, dict)) and steps <= _MOST_STEPS:
            waiting.extend(item.values() if isinstance(item, dict) else item)
    return steps


class _Parser(Parser):
    """Counts iterations and compared items, limits the joining of texts, and renames macros.

    A macro that calls another one of its file then goes through `_Macro`, as in dbt.
    """

    def parse_macro(self) -> nodes.Macro:
        macro = super().parse_macro()
        macro.name = f"{MACRO}{macro.name}"
        return macro

    def parse_for(self) -> nodes.For:
        loop = super().parse_for()
        count = nodes.Call(nodes.Name("_step", "load"), [], [], None, None)
        loop.body.insert(0, nodes.ExprStmt(count).set_lineno(loop.lineno))
        return loop

    def parse_compare(self) -> nodes.Expr:
        parsed = super().parse_compare()
        if isinstance(parsed, nodes.Compare):
            parsed.expr = self._counted(parsed.expr)
            for operand in parsed.ops:
                operand.expr = self._counted(operand.expr)
        return parsed

    @staticmethod
    def _counted(operand: nodes.Expr) -> nodes.Expr:
        call = nodes.Call(nodes.Name("_compared", "load"), [operand], [], None, None)
        call.set_lineno(operand.lineno)
        return call

    def parse_concat(self) -> nodes.Expr:
        parsed = super().parse_concat()
        if not isinstance(parsed, nodes.Concat):
            return parsed
        joined = nodes.Call(nodes.Name("_concat", "load"), parsed.nodes, [], None, None)
        joined.set_lineno(parsed.lineno)
        return joined


class _Tests(Extension):
    """``{% test name(model) %}`` is a macro ``test_name``."""

    tags = {"test"}  # noqa: RUF012 (as jinja2 has it)

    def parse(self, parser: Parser) -> nodes.Macro:
        macro = nodes.Macro(lineno=next(parser.stream).lineno)
        macro.name = f"{MACRO}test_{parser.parse_assign_target(name_only=True).name}"
        parser.parse_signature(macro)
        macro.body = parser.parse_statements(("name:endtest",), drop_needle=True)
        return macro
