"""The lines that count as executed are those that coverage.py's own tracer finds."""

import sys
import textwrap

import coverage
import pytest

from tests.executed_lines import NotingFinder, compile_noting

SOURCE = textwrap.dedent(
    '''
    """A module with what a module may hold."""
    from __future__ import annotations

    import enum
    from functools import (
        lru_cache,
        partial,
    )

    class Kind(enum.Enum):
        """Docstring."""

        ONE = 1
        TWO = (
            2
        )

        @property
        def doubled(self):
            return self.value * 2

    @lru_cache
    def choose(value):
        "Docstring."
        global chosen
        chosen = value
        if value == 1:
            return "one"
        elif value == 2:
            answer = "two"
        else:
            answer = "more"
        return answer

    def try_all(values):
        found = []
        for value in values:
            try:
                found.append(1 / value)
            except ZeroDivisionError:
                found.append(None)
            except TypeError:
                found.append("text")
            else:
                continue
            finally:
                pass
        else:
            found.append("end")
        while found and found[-1] != "end":
            found.pop()
        with open(__file__) as file, partial(open, __file__)() as again:
            file.close()
            again.close()
        match found:
            case [None, *_]:
                return "none first"
            case [float(), *_] if len(found) > 1:
                return [
                    one for one in found
                    if one
                ]
            case _:
                return found

    async def never():
        async with never() as nothing:
            await nothing

    Kind.TWO.doubled
    choose(1), choose(3)
    try_all([1, 0, 2])
    unused = lambda: (
        None
    )
    '''
).lstrip()


def test_the_same_lines_are_noted_as_coverage_py_traces(tmp_path):
    path = tmp_path / "everything.py"
    path.write_text(SOURCE)
    code, noted = compile_noting(SOURCE.encode(), str(path))
    exec(code, {"__executed_lines__": noted, "__name__": "everything", "__file__": str(path)})
    # The tracer of a test run is put back.
    tracer, measured = sys.gettrace(), coverage.Coverage(data_file=None, config_file=False, include=[str(path)])
    measured.start()
    exec(compile(SOURCE, str(path), "exec"), {"__name__": "everything", "__file__": str(path)})
    measured.stop()
    sys.settrace(tracer)
    _, statements, _, missing, _ = measured.analysis2(str(path))
    executed = {number for number, byte in enumerate(noted) if byte}
    # These were tried and did not apply; the plugin counts them only when they do.
    clauses = {number for number, line in enumerate(SOURCE.splitlines(), 1) if line.endswith(("TypeError:", "*_]:"))}
    assert missing
    assert set(statements) - executed - clauses == set(missing) - clauses


def test_a_package_notes_its_lines_and_reads_like_any_other(tmp_path, monkeypatch):
    package = tmp_path / "small_reef"
    package.mkdir()
    (package / "__init__.py").write_text("from small_reef.fish import name\n")
    (package / "fish.py").write_text("def name():\n    return 'clownfish'\n\n\ndef other():\n    return 'other'\n")
    finder = NotingFinder("small_reef")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "meta_path", [finder, *sys.meta_path])
    module = pytest.importorskip("small_reef")
    assert module.name() == "clownfish"
    finder.save(tmp_path, "test")
    data = coverage.CoverageData(basename=str(tmp_path / ".coverage.test"))
    data.read()
    assert {path.rpartition("/")[2]: set(data.lines(path)) for path in data.measured_files()} == {
        "__init__.py": {1},
        "fish.py": {1, 2, 5},
    }
