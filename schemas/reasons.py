"""The sentence beneath a field, which Python itself forgets: for settings pages and for JSON Schemas.

Read from the source of the module that defines the fields. Go on to `schemas/codec.py`.
"""

from __future__ import annotations

import ast
import inspect
from types import ModuleType


def reasons(module: ModuleType) -> dict[tuple[str, str], str]:
    """Class and field → the sentence beneath the field; empty where the name says it all."""
    found: dict[tuple[str, str], str] = {}
    for node in ast.parse(inspect.getsource(module)).body:
        if not isinstance(node, ast.ClassDef):
            continue
        for statement, following in zip(node.body, [*node.body[1:], None], strict=True):
            if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
                found[node.name, statement.target.id] = _docstring(following)
    return found


def _docstring(node: ast.stmt | None) -> str:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return " ".join(node.value.value.split())
    return ""
