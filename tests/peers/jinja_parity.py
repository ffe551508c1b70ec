#!/usr/bin/env python3
"""Expectations of real Jinja2 for the template interpreter's tests.

    jinja_parity.py --write     render all cases with the installed jinja2 into tests/data/jinja/cases.json
    jinja_parity.py             compare the stored file with what the installed jinja2 gives now

Says 'skipped' and ends with 0 where jinja2 is not installed (pip install jinja2). The environment is set up as transformers'
apply_chat_template does, and, for cases of the dialect "evaluation", as lm-evaluation-harness does. The C++ tests need only the
stored file.
"""
import json
import pathlib
import sys

try:
    import jinja2
    import jinja2.ext
    import jinja2.sandbox
except ImportError as missing:
    print("skipped: %s" % missing)
    sys.exit(0)

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from jinja_cases import all_cases  # noqa: E402

STORED = pathlib.Path(__file__).resolve().parent.parent / "data" / "jinja" / "cases.json"


class Generation(jinja2.ext.Extension):
    """{% generation %} prints its body, as transformers' own extension does when nothing is tracked."""

    tags = {"generation"}

    def parse(self, parser):
        next(parser.stream)
        return parser.parse_statements(["name:endgeneration"], drop_needle=True)


def chat_environment():
    env = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])

    def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
        return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)

    def raise_exception(message):
        raise jinja2.exceptions.TemplateError(message)

    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    return env


def evaluation_environment():
    return jinja2.Environment(loader=jinja2.BaseLoader(), undefined=jinja2.StrictUndefined, keep_trailing_newline=True)


def expectation(case):
    env = evaluation_environment() if case.get("dialect") == "evaluation" else chat_environment()
    try:
        return {"expected": env.from_string(case["template"]).render(**case.get("variables", {}))}
    except Exception as error:  # every kind of failure is one thing to the interpreter
        return {"error": type(error).__name__}


def main():
    cases = [dict(case, **expectation(case)) for case in all_cases()]
    names = [case["name"] for case in cases]
    assert len(set(names)) == len(names), "names must be unique"
    surprises = [case["name"] for case in cases if ("error" in case) != bool(case.get("fails"))]
    if surprises:
        sys.exit("text where an error was meant, or the other way round:\n" + "\n".join(surprises))
    text = json.dumps(cases, indent=1, ensure_ascii=False) + "\n"
    if "--write" in sys.argv[1:]:
        STORED.parent.mkdir(parents=True, exist_ok=True)
        STORED.write_text(text)
        print(f"{len(cases)} cases, {sum('error' in c for c in cases)} of them errors, with jinja2 {jinja2.__version__}")
    elif STORED.read_text() != text:
        stored = {case["name"]: case for case in json.loads(STORED.read_text())}
        for case in cases:
            if stored.get(case["name"]) != case:
                print("differs:", case["name"])
        sys.exit("the stored expectations differ; run with --write after looking at why")
    else:
        print(f"{len(cases)} cases agree with jinja2 {jinja2.__version__}")


if __name__ == "__main__":
    main()
