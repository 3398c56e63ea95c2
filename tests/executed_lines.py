"""A plugin of pytest that notes which lines of the package the tests execute, for `coverage report`.

Up to Python 3.11 a tracer is called for every line of every library: with coverage.py's own tracer, tests of the
archive take twice the processor time. With this plugin the package notes its lines itself: when one of its modules is
imported, an assignment to one byte is put before each of its statements. As with coverage.py, the processes that a test
starts are not measured.
"""

import ast
import importlib.abc
import importlib.machinery
import os
import sys
from pathlib import Path

import pytest

#: The name of a module's bytes, one for each line.
NAME = "__executed_lines__"


class LineNotes(ast.NodeTransformer):
    """Puts an assignment before each statement that notes its line."""

    def visit(self, node):
        self.generic_visit(node)
        for field in ("body", "orelse", "finalbody"):
            statements = getattr(node, field, None)
            if isinstance(statements, list) and statements:
                setattr(node, field, list(self._noted(node, statements, field)))
        return node

    def _noted(self, node, statements, field):
        if field == "body" and isinstance(node, ast.ExceptHandler | ast.match_case):
            first = getattr(node, "pattern", node)  # its line counts when it applies, not when it is tried
            yield _note(first, statements[0])
        for number, statement in enumerate(statements):
            notes = [_note(part, statement) for part in (*getattr(statement, "decorator_list", ()), statement)]
            if isinstance(statement, ast.ImportFrom) and statement.module == "__future__":
                yield from (statement, *notes)  # nothing may be before it
            elif number == 0 and isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant):
                yield statement  # a docstring
            else:
                yield from (*notes, statement)


def _note(node, place):
    target = ast.Subscript(ast.Name(NAME, ast.Load()), ast.Constant(node.lineno), ast.Store())
    return ast.fix_missing_locations(ast.copy_location(ast.Assign([target], ast.Constant(1)), place))


def compile_noting(source, path):
    """Compile the source of a module; return its code, and the bytes that it sets as it is executed."""
    lines = bytearray(source.count(b"\n") + 2)
    return compile(LineNotes().visit(ast.parse(source)), path, "exec"), lines


class NotingLoader(importlib.machinery.SourceFileLoader):
    """Loads a module so that it notes its lines."""

    def __init__(self, name, path, lines):
        super().__init__(name, path)
        self.lines = lines

    def exec_module(self, module):
        code, noted = compile_noting(self.get_data(self.path), self.path)
        self.lines.setdefault(self.path, []).append(noted)  # a module may be loaded again
        setattr(module, NAME, noted)
        exec(code, module.__dict__)


class NotingFinder(importlib.abc.MetaPathFinder):
    """Finds the modules of a package before anyone else does; `lines` has the bytes of each file."""

    def __init__(self, package):
        self.package, self.lines = package, {}

    def find_spec(self, fullname, path, target=None):
        if fullname.split(".")[0] != self.package:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and isinstance(spec.loader, importlib.machinery.SourceFileLoader):
            spec.loader = NotingLoader(fullname, spec.origin, self.lines)
        return spec

    def list_lines(self):
        """The lines that were executed, by file."""
        return {
            path: {number for noted in all_noted for number, executed in enumerate(noted) if executed}
            for path, all_noted in self.lines.items()
        }

    def save(self, folder, name):
        """Write a file that `coverage combine` reads."""
        from coverage import CoverageData

        data = CoverageData(basename=str(Path(folder) / f".coverage.{name}"))
        data.add_lines(self.list_lines())
        data.write()


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests(early_config):
    """Begin before the first conftest imports the package."""
    assert "anemone_lib" not in sys.modules
    early_config.executed_lines = NotingFinder("anemone_lib")
    sys.meta_path.insert(0, early_config.executed_lines)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure(config):
    config.executed_lines.save(config.rootpath, os.getpid())
