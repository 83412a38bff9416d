"""What the forms of Rasa 1 ask: read from the Python of a `FormAction`, which Rasa 3 has no more.

Nothing is run. What is written as plain values is understood: `required_slots` that returns a list of names, and
`slot_mappings` with `self.from_entity(…)` and the like.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bot.errors import Source
from bot.migration.log import Log
from bot.yaml_file import shown

_ARGUMENTS = {
    "from_entity": ("entity", "intent", "not_intent"),
    "from_trigger_intent": ("value", "intent", "not_intent"),
    "from_intent": ("value", "intent", "not_intent"),
    "from_text": ("intent", "not_intent"),
}


@dataclass(frozen=True, slots=True)
class FormCode:
    """A form's slots in order, each with its mappings."""

    slots: Mapping[str, list[dict[str, Any]]] = field(default_factory=dict)


def read_form_actions(root: Path, log: Log) -> dict[str, FormCode]:
    """The forms in the project's Python, by name. What a person has to do with that Python goes to the log."""
    found = {}
    for file in sorted([*root.glob("*.py"), *(root / "actions").rglob("*.py")]):
        try:
            tree = ast.parse(file.read_text(encoding="utf-8"))
        except (OSError, SyntaxError, UnicodeDecodeError, ValueError):
            continue  # Whoever runs the actions will be told.
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and any(ast.unparse(base).endswith("FormAction") for base in node.bases):
                name, code = _form(node)
                source = Source(shown(file), node.lineno)
                if name:
                    found[name] = code
                log.left(
                    source,
                    f"the FormAction '{node.name}' cannot run with Rasa 3: make it a FormValidationAction called "
                    f"'validate_{name or '…'}' with its validate_… methods, and what submit() does an action of its "
                    "own, which stories and rules name after the form",
                )
    return found


def _form(node: ast.ClassDef) -> tuple[str | None, FormCode]:
    methods = {one.name: one for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef)}
    name = next((value for value in _returned(methods.get("name")) if isinstance(value, str)), None)
    # Of several lists, the longest: which is asked depends on what was said.
    lists = [value for value in _returned(methods.get("required_slots")) if isinstance(value, list)]
    slots = [str(slot) for slot in max(lists, key=len, default=[])]
    mappings = dict(_mappings(methods.get("slot_mappings")))
    # A slot without a mapping was filled from the entity of its name.
    return name, FormCode({slot: mappings.get(slot) or [{"type": "from_entity", "entity": slot}] for slot in slots})


def _returned(method: ast.AST | None) -> Iterator[Any]:
    for node in _returns(method):
        try:
            yield ast.literal_eval(node)
        except ValueError:
            continue


def _returns(method: ast.AST | None) -> Iterator[ast.expr]:
    for node in ast.walk(method) if method else ():
        if isinstance(node, ast.Return) and node.value:
            yield node.value


def _mappings(method: ast.AST | None) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    for node in _returns(method):
        for key, value in zip(node.keys, node.values, strict=True) if isinstance(node, ast.Dict) else ():
            calls = value.elts if isinstance(value, ast.List) else [value]
            found = [mapping for call in calls if (mapping := _mapping(call))]
            if isinstance(key, ast.Constant) and len(found) == len(calls):
                yield str(key.value), found


def _mapping(call: ast.expr) -> dict[str, Any] | None:
    """`self.from_entity(entity="city", intent="inform")` → its mapping."""
    kind = call.func.attr if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) else ""
    if kind not in _ARGUMENTS or not isinstance(call, ast.Call):
        return None
    given = [*zip(_ARGUMENTS[kind], call.args, strict=False), *((one.arg or "", one.value) for one in call.keywords)]
    try:
        values = {name: ast.literal_eval(value) for name, value in given}
    except ValueError:
        return None
    return {"type": kind, **{name: value for name, value in values.items() if value is not None}}
