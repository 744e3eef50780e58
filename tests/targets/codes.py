"""codes: what the interpreter itself says of the bytecode of the standard library's functions, for test_pycode.

Prints 'code ADDRESS' and what its dis module tells of that code object, for each of them; 'ready'; and waits for its stdin to close.
With an argument, 'warm' or 'monitored', functions have run before, so that code units are specialised, or code is monitored.
"""
import dis
import gc
import json
import sys
import types

import argparse, ast, asyncio, bdb, calendar, collections, configparser, contextlib, copy, csv, datetime, decimal, difflib  # noqa
import doctest, email.message, enum, fractions, functools, http.client, inspect, ipaddress, logging, mailbox, pathlib, pdb, pickle  # noqa
import pickletools, platform, random, shlex, statistics, string, subprocess, tarfile, tempfile, textwrap, threading, tokenize  # noqa
import typing, unittest, urllib.request, uuid, weakref, xml.dom.minidom, zipfile  # noqa

V = sys.version_info[:2]
NAMES = {number: name for name, number in dis.opmap.items()}


def codes():
    """All code objects of functions that are there, and those in their constants, each once."""
    found, stack = {}, [f.__code__ for f in gc.get_objects() if isinstance(f, types.FunctionType)]
    while stack:
        code = stack.pop()
        if id(code) in found:
            continue
        found[id(code)] = code
        stack += [c for c in code.co_consts if isinstance(c, types.CodeType)]
    return list(found.values())


def lines_of(code):
    """The line at each offset, 0: none."""
    size = len(code.co_code)
    out = [0] * size
    if V >= (3, 10):
        for start, end, line in code.co_lines():
            out[start:end] = [line or 0] * (end - start)
        return out
    starts = list(dis.findlinestarts(code)) + [(size, 0)]
    for (start, line), (end, _) in zip(starts, starts[1:]):
        out[start:end] = [line] * (end - start)
    return out


def target_of(i):
    # From 3.14 on its argument is where it was sent from, and no jump.
    if i.opname == 'END_ASYNC_FOR':
        return -1
    return i.argval if i.opcode in dis.hasjrel or i.opcode in dis.hasjabs else -1


def describe(code):
    cells = [n in code.co_cellvars or n in code.co_freevars for n in code.co_varnames] if V >= (3, 11) else \
        [False] * len(code.co_varnames)
    more = [n for n in code.co_cellvars + code.co_freevars if V < (3, 11) or n not in code.co_varnames]
    yield 'code %d' % id(code)
    yield 'name %s' % code.co_name
    yield 'qualname %s' % getattr(code, 'co_qualname', '')
    yield 'file %s' % code.co_filename
    yield 'numbers %d %d %d %d' % (code.co_firstlineno, code.co_flags, code.co_argcount, code.co_kwonlyargcount)
    yield 'locals ' + ' '.join(n + '*' * c for n, c in zip(list(code.co_varnames) + more, cells + [True] * len(more)))
    yield 'names ' + ' '.join(code.co_names)
    lines, start = lines_of(code), None
    for i in dis.get_instructions(code):
        start = i.offset if start is None else start
        if i.opname == 'EXTENDED_ARG':
            continue
        arg = code.co_code[i.offset + 1] if i.arg is None else i.arg
        yield 'op %d %d %s %d %d %d' % (i.offset, start, i.opname, arg, lines[i.offset], target_of(i))
        start = None
    for e in dis._parse_exception_table(code) if V >= (3, 11) else ():
        yield 'handler %d %d %d' % (e.start, e.end, e.target)


def loops(n):
    total, text = 0, ''
    for i in range(n):
        for j in (1, 2, 3):
            total += i * j if i & 1 else -j
        text += str(i)
        [x for x in 'abc' if x != 'b']
    while n:
        n -= 1
    return total, text


def warm():
    for _ in range(200):
        json.loads(json.dumps({'a': [1, 2.5, None, 'x'], 'b': {'c': True}}, indent=1))
        ast.unparse(ast.parse('def f(a, *b): return [i for i in a if i]')) if V >= (3, 9) else None
        textwrap.wrap('some words that are to be wrapped ' * 4, 30)
        string.Template('$a and $b').substitute(a=1, b=2)
        shlex.split('a "b c" d')
        decimal.Decimal('1.5').sqrt()
        tokenize.untokenize(list(tokenize.generate_tokens(iter(['x = 1\n', '']).__next__)))
        inspect.signature(argparse.ArgumentParser)
        difflib.ndiff(['a', 'b'], ['a', 'c'])
    loops(20000)


def monitor(found):
    """Has lines, instructions and calls of some monitored."""
    m = sys.monitoring
    m.use_tool_id(1, 'codes')
    m.use_tool_id(2, 'more')
    events = [m.events.LINE, m.events.INSTRUCTION, m.events.LINE | m.events.INSTRUCTION | m.events.PY_RETURN,
              m.events.CALL | m.events.PY_START | m.events.BRANCH if V < (3, 14) else m.events.CALL | m.events.JUMP]
    for i, code in enumerate(found):
        if i % 5 < 4:
            m.set_local_events(1, code, events[i % 5])
        if i % 7 == 0:
            m.set_local_events(2, code, events[1])


def main():
    how = sys.argv[1] if len(sys.argv) > 1 else ''
    if how == 'warm':
        warm()
    # Addresses are told of what lives on.
    found = [c for n, c in enumerate(codes()) if n % 10 == 0 or c.co_filename == __file__]
    if how == 'monitored':
        monitor(found)
    out = sys.stdout
    for code in found:
        out.write(''.join(line + '\n' for line in describe(code)))
    out.write('ready\n')
    out.flush()
    sys.stdin.read()


main()
