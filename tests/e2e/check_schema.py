#!/usr/bin/env python3
"""Checks that json outputs are valid by the schema in docs/ that their `format` names: a profile, doctor's findings, lines, patches,
events.

    check_schema.py FILE...     exit status 0: all are valid, 1: one is not, 2: usage, 77: jsonschema is not installed

A profile is as deep as the program's recursion, which a validator that recurses cannot follow. So the calls are taken
out of their nesting and validated one by one; that they are arrays of calls is what the schema demands of them anyway.

Events are a line each; what the schema of a line cannot say is checked too: one header, first; at most one summary, last.
"""
import json
import os
import sys
import threading

try:
    import jsonschema
except ImportError:
    print("SKIPPED: python3-jsonschema is not installed")
    sys.exit(77)

DOCS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs")


def take_calls(thread):
    """Yields every call of a thread without its children, and leaves the thread without calls."""
    waiting = [(thread, "calls")]
    while waiting:
        node, key = waiting.pop()
        nested = node.get(key) if isinstance(node, dict) else None
        if isinstance(nested, list):
            node[key] = []
            waiting.extend((call, "children") for call in nested)
        if node is not thread:
            yield node


def load_schema(name):
    with open(os.path.join(DOCS, name), encoding="utf-8") as file:
        schema = json.load(file)
    jsonschema.Draft202012Validator.check_schema(schema)
    return schema


def validators():
    """Of whole profiles, of one call of a profile, of doctor's findings, of lines, of patches, of an event's line."""
    schema = load_schema("profile.schema.json")
    call_schema = {"$defs": schema["$defs"], "$ref": "#/$defs/call"}
    return [jsonschema.Draft202012Validator(s) for s in (schema, call_schema, *map(load_schema, ("doctor.schema.json", "lines.schema.json", "patches.schema.json", "events.schema.json")))]


def errors_in_events(text, validator):
    """Yields what is wrong with each line, and with their order. A session that was killed leaves no summary."""
    lines = text.split("\n")
    if lines.pop() != "":
        yield "the last line does not end"
    for number, line in enumerate(lines, 1):
        try:
            record = json.loads(line)
        except ValueError as error:
            yield "line %d: %s" % (number, error)
            continue
        for error in validator.iter_errors(record):
            yield "line %d: /%s: %s" % (number, "/".join(map(str, error.absolute_path)), error.message[:200])
        kind = record.get("record") if isinstance(record, dict) else None
        if (kind == "header") != (number == 1) or (kind == "summary" and number != len(lines)):
            yield "line %d: a %s does not belong here" % (number, kind)


def errors_in(path, whole, call_validator, doctor, lines, patches, event_validator):
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read()
        if text.startswith('{"record"'):
            yield from errors_in_events(text, event_validator)
            return
        result = json.loads(text)
    except (OSError, ValueError) as error:
        yield str(error)
        return
    if isinstance(result, dict) and result.get("format") == "pylu-doctor":
        whole = doctor
    if isinstance(result, dict) and result.get("format") == "pylu-lines":
        whole = lines
    if isinstance(result, dict) and result.get("format") == "pylu-patches":
        whole = patches
    processes = result.get("processes") if isinstance(result, dict) else None
    for process in processes if isinstance(processes, list) else []:
        threads = process.get("threads") if isinstance(process, dict) else None
        for thread in threads if isinstance(threads, list) else []:
            for call in take_calls(thread):
                for error in call_validator.iter_errors(call):
                    yield "call of %s: %s" % (str(call)[:60], error.message[:200])
    for error in whole.iter_errors(result):
        yield "/%s: %s" % ("/".join(map(str, error.absolute_path)), error.message[:200])


def check(paths, failed):
    known = validators()
    for path in paths:
        count = 0
        for error in errors_in(path, *known):
            count += 1
            if count <= 10:
                print("%s: %s" % (path, error), file=sys.stderr)
        if count:
            failed.append(path)
        else:
            print("%s: valid" % path)


def main():
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    failed = []
    done = []
    # The parser recurses: give it a stack for that.
    sys.setrecursionlimit(1 << 20)
    threading.stack_size(512 << 20)
    thread = threading.Thread(target=lambda: (check(sys.argv[1:], failed), done.append(True)))
    thread.start()
    thread.join()
    return 0 if done and not failed else 1


if __name__ == "__main__":
    sys.exit(main())
