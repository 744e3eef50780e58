"""compiled: runs agent/python/compiler.py in this interpreter, applies what it makes by plain Python, and says what is not as in
a program that was written so from the start.

    compiled.py COMPILER LIMIT

Prints a line for each thing that is wrong, then 'done CASES FUNCTIONS WRONG'. LIMIT: how many functions of each of the library's modules are compared at most.
"""
import asyncio
import dis
import importlib
import inspect
import marshal
import sys
import traceback
import types
import warnings

NEWER = sys.version_info[:2]
wrong = []


def load(path):
    compiler = types.ModuleType('compiler')
    with open(path, encoding='utf-8') as f:
        exec(compile(f.read(), path, 'exec'), compiler.__dict__)
    return compiler


# What the agent says and does, in Python.

def described(function, module, qualname, cls=None, kind='function'):
    code = function.__code__
    n = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 4) + bool(code.co_flags & 8)
    answer = dict(target='%s.%s' % (module, qualname), module=module, qualname=qualname, kind=kind, code_id=id(code),
                  free=list(code.co_freevars), flags=code.co_flags, argcount=code.co_argcount, posonly=code.co_posonlyargcount,
                  kwonly=code.co_kwonlyargcount, argnames=list(code.co_varnames[:n]), defaults=len(function.__defaults__ or ()),
                  kwdefaults=list(function.__kwdefaults__ or ()), file=code.co_filename, line=code.co_firstlineno,
                  code_name=code.co_name, code_qual=getattr(code, 'co_qualname', function.__qualname__))
    if cls:
        answer['class'] = cls
    return answer


def innermost(thing):
    for name in ('__func__', 'fget', '__wrapped__', 'func'):
        if not isinstance(thing, types.FunctionType) and hasattr(thing, name):
            thing = getattr(thing, name)
    while hasattr(thing, '__wrapped__'):
        thing = thing.__wrapped__
    return thing


def find(modules, target):
    """(answer to RESOLVE, function or None, where it is)"""
    name = max((m for m in modules if target.startswith(m + '.')), key=len)
    qualname = target[len(name) + 1:]
    path = qualname.split('.')
    owner = modules[name]
    for part in path[:-1]:
        owner = getattr(owner, part)
    thing = vars(owner).get(path[-1], vars(owner).get('_%s%s' % (path[-2].lstrip('_'), path[-1])) if len(path) > 1 else None)
    function = innermost(thing)
    if isinstance(function, types.FunctionType):
        around = function.__qualname__.split('.')[-2:-1]
        return described(function, name, qualname, around[0] if around and around != ['<locals>'] else None), function, owner
    kind = 'absent' if thing is None else 'class' if isinstance(thing, type) else 'value'
    return dict(target=target, module=name, qualname=qualname, kind=kind), None, owner


def ask(source, **request):
    data = source if isinstance(source, bytes) else source.encode()
    files = request.pop('files', ())
    request.update(source=len(data), files=[[path, len(text)] for path, text in files])
    text = compiler.to_json(request).encode()
    data += b''.join(text for _, text in files)
    return compiler.serve(len(text).to_bytes(4, 'little') + b'\0\0\0\0' + text + data)


def parsed(answer):
    head = int.from_bytes(answer[:4], 'little')
    return compiler.from_json(answer[8:8 + head].decode()), answer[8 + head:]


def compiled(modules, source, target=None, kind=None, **more):
    """(what is said, blob)"""
    kind = {'kind': kind} if kind else {}
    request = dict(mode='redefine' if target else 'patch', path='/patch/new.py', target=target, **more)
    targets = [target] if target else None
    if not target:
        said, _ = parsed(ask(source, **request))
        if 'resolve' not in said:
            return said, None
        targets = said['resolve']
    request['resolved'] = {t: dict(find(modules, t)[0], **kind) for t in targets}
    said, blob = parsed(ask(source, **request))
    return said, marshal.loads(blob) if blob else None


def filled(code, values):
    """The code with its placeholders replaced."""
    constants = []
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            constant = filled(constant, values)
        elif isinstance(constant, str) and constant.startswith('\0pylu:'):
            words = constant[6:].split(':')
            constant = values[words[1] if words[0] == 'name' else '\0' + words[0]]
        constants.append(constant)
    return code.replace(co_consts=tuple(constants))


def apply(modules, blob, counts=None, at_gate=lambda: None):
    """Carries out the changes; `at_gate` is called while the gates are there."""
    functions = [find(modules, c['target'])[1:] for c in blob['changes']]
    values, scratch = {}, {}
    if blob['body']:
        exec(blob['body'], vars(modules[blob['home']]), scratch)
        values = scratch['__pylu_body'](*[functions[index][0] for _, index in blob['own']])
    counts = counts if counts is not None else {}

    def counter(name):
        def count():
            if name == 'errors' and not issubclass(sys.exc_info()[0], Exception):
                return
            counts[name] = counts.get(name, 0) + 1
        return count
    for change, (function, owner) in zip(blob['changes'], functions):
        scratch = {}
        module = find(modules, change['target'])[0]['module']
        exec(change['maker'], vars(modules[module]), scratch)
        made = scratch['__pylu_make'](*[values[name] for name in change['args']])
        if change['kind'] != 'redefine':
            setattr(owner, change['target'].rpartition('.')[2], made)
            continue
        old = types.FunctionType(function.__code__, function.__globals__, function.__name__, function.__defaults__,
                                 function.__closure__)
        old.__kwdefaults__ = function.__kwdefaults__
        special = dict(values)
        special.update({'\0call': counter('calls'), '\0error': counter('errors'), '\0gate': old})
        with warnings.catch_warnings():
            warnings.simplefilter('error')  # the gate must not be a change of kind
            function.__code__ = filled(change['gate'], special)
        check_gate(function, old, change)
        at_gate()
        code = filled(made.__code__, special)
        if change['trampoline']:
            cells = dict(zip(made.__code__.co_freevars, made.__closure__ or ()))
            cells.update(zip(old.__code__.co_freevars, old.__closure__ or ()))
            impl = types.FunctionType(code, made.__globals__, made.__name__, made.__defaults__,
                                      tuple(cells[n] for n in code.co_freevars))
            impl.__kwdefaults__ = made.__kwdefaults__
            code = filled(change['trampoline'], {'\0impl': impl})
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')  # of a change of kind that was forced
            function.__code__ = code
        function.__defaults__, function.__kwdefaults__ = made.__defaults__, made.__kwdefaults__
        function.__doc__ = made.__doc__
        if NEWER >= (3, 14):
            function.__annotate__ = made.__annotate__
        else:
            function.__annotations__ = made.__annotations__


def check_gate(function, old, change):
    check(function.__code__.co_freevars == old.__code__.co_freevars, '%s: the gate has other free variables' % change['target'])
    if NEWER >= (3, 11):
        check(kind_of(function) == kind_of(old), '%s: the gate is %s' % (change['target'], kind_of(function)))


def kind_of(function):
    return [name for name in ('isgeneratorfunction', 'iscoroutinefunction', 'isasyncgenfunction') if getattr(inspect, name)(function)]


def check(ok, what):
    if not ok:
        wrong.append(what)


# Cases: name, original, {expression: value in the original}, target or None, patch, {expression: value then}, options.

def run_async(coroutine):
    loop = asyncio.new_event_loop()
    try:
        return loop.run_until_complete(coroutine)
    finally:
        loop.close()


async def as_list(agen):
    return [x async for x in agen]


def place(of):
    """The lines of a traceback, and their functions."""
    try:
        of()
    except Exception as error:
        return [(f.lineno, f.name) for f in traceback.extract_tb(error.__traceback__)][1:]


def module_of(text, name='app'):
    module = types.ModuleType(name)
    module.__dict__.update(run=run_async, as_list=as_list, place=place)
    exec(compile(text, '/app/%s.py' % name, 'exec', dont_inherit=True), module.__dict__)
    return module


cases = []


def case(name, original, before, target, patch, after, since=(3, 8), **options):
    if NEWER >= since:
        cases.append((name, original, before, target, patch, after, options))


def run_case(name, original, before, target, patch, after, options):
    for count in ([False, True] if target else [False]):
        modules = {'app': module_of(original), 'app.sub': module_of('def far(x): return x\nvalue = 1\n', 'app.sub')}
        sys.modules.update(modules)  # some of the library asks for a function's module
        label = name + (' (counted)' if count else '')
        check_values(label, modules['app'], before, 'is at first')
        said, blob = compiled(modules, patch, target, count=count, force=options.get('force', False), name=options.get('new'),
                              kind=options.get('kind'))
        if not check_said(label, said, options):
            continue
        known = set(vars(modules['app']))
        counts = {}
        apply(modules, blob, counts, lambda: target and check_values(label, modules['app'], before, 'is behind the gate'))
        if target:
            check(set(vars(modules['app'])) == known, '%s: the module has now %s' % (label, set(vars(modules['app'])) - known))
        check_values(label, modules['app'], after, 'is now')
        if count:
            check(counts.get('calls') or not [e for e in after if '(' in e] or options.get('uncalled'), '%s: no call was counted' % label)
            check(bool(counts.get('errors')) == bool(options.get('raises')), '%s: %s' % (label, counts))


def check_values(label, module, values, when):
    """Each often enough that the interpreter has specialised the calls."""
    for expression, value in values.items():
        got = eval('[(%s) for _ in range(40)][-1]' % expression, vars(module))
        check(got == value, '%s: %s %s %r, not %r' % (label, expression, when, got, value))


def check_said(label, said, options):
    if 'refused' in options:
        check(options['refused'] in said.get('error', ''), '%s: it should be refused with %r: %r' % (label, options['refused'], said))
        return False
    if 'error' in said:
        wrong.append('%s: %s\n%s' % (label, said['error'], said['traceback']))
        return False
    notes = '; '.join(said['summary']['notes'] + [n for c in said['summary']['changes'] for n in c['notes']])
    check(options.get('note', '') in notes, '%s: the notes are %r' % (label, notes))
    check('failed' not in notes, '%s: %s' % (label, notes))
    trampolines = [c['trampoline'] for c in said['summary']['changes']]
    check(options.get('trampoline', False) in (None, any(trampolines)), '%s: trampolines: %s' % (label, trampolines))
    return True


# What the library of this version is made of: redefined with its own text, a function must be the same.

MODULES = ('argparse ast base64 bdb calendar cmd code collections configparser contextlib copy csv datetime decimal difflib dis '
           'email.message enum fractions ftplib functools glob gzip heapq html.parser http.client http.cookies inspect ipaddress '
           'json.decoder logging mailbox mimetypes numbers optparse os pathlib pdb pickle platform pprint queue random reprlib '
           'shelve shlex shutil smtplib socket socketserver statistics string subprocess tarfile tempfile textwrap threading timeit '
           'tokenize trace traceback types typing unittest.case unittest.mock urllib.parse urllib.request uuid weakref zipfile '
           'asyncio.base_events asyncio.tasks asyncio.streams concurrent.futures.thread multiprocessing.pool').split()
FIELDS = ('co_code', 'co_names', 'co_varnames', 'co_freevars', 'co_cellvars', 'co_flags', 'co_stacksize', 'co_argcount', 'co_name',
          'co_qualname', 'co_firstlineno', 'co_exceptiontable', 'co_kwonlyargcount', 'co_posonlyargcount')


def functions_of(module):
    """(function, class name or None) of those that are written in this module, without decorators."""
    for thing in list(vars(module).values()):
        if isinstance(thing, types.FunctionType):
            yield thing, None
        elif isinstance(thing, type) and thing.__module__ == module.__name__ and '<' not in thing.__qualname__:
            for method in list(vars(thing).values()):
                if isinstance(method, types.FunctionType) and method.__qualname__ == '%s.%s' % (thing.__qualname__, method.__name__):
                    yield method, thing.__name__


def text_of(function, lines):
    """The function's text at its own lines, without its indentation: None where that is not to be had."""
    code = function.__code__
    first = code.co_firstlineno
    block = inspect.getblock([l + '\n' for l in lines[first - 1:]])
    if not block[0].lstrip().startswith(('def ', 'async def ')):
        return None
    if not block[0][0].isspace():
        return '\n' * (first - 1) + ''.join(block)
    if '.' not in function.__qualname__:
        return None
    # In a class: so that neither what is indented nor a long text in it is changed.
    return '\n' * (first - 2) + 'class %s:\n' % function.__qualname__.rpartition('.')[0].rpartition('.')[2] + ''.join(block)


def differing(mine, theirs):
    """What differs in two code objects."""
    found = [name for name in FIELDS if getattr(mine, name, None) != getattr(theirs, name, None)]
    if list(dis.findlinestarts(mine)) != list(dis.findlinestarts(theirs)):
        found.append('lines')
    if NEWER >= (3, 11) and list(mine.co_positions()) != list(theirs.co_positions()):
        found.append('positions')
    if len(mine.co_consts) != len(theirs.co_consts):
        return found + ['co_consts']
    for x, y in zip(mine.co_consts, theirs.co_consts):
        if isinstance(x, types.CodeType) and isinstance(y, types.CodeType):
            found += differing(x, y)
        elif type(x) is not type(y) or (x != y if isinstance(x, frozenset) else repr(x) != repr(y)):
            found.append('co_consts')
    return found


def check_same(mine, theirs, text, where):
    differ = differing(mine, theirs)
    if differ and NEWER >= (3, 11):
        # There a call of what the module imports is compiled by what the whole module imports. Then it must be what the text alone
        # is compiled to.
        alone = [c for c in compiler.codes(compile(text, theirs.co_filename, 'exec', 0, True))
                 if c.co_name == theirs.co_name and c.co_firstlineno == theirs.co_firstlineno and c.co_flags & 1]
        differ = differing(mine, alone[0])
    check(not differ, '%s: recompiled, %s differ' % (where, differ))


def check_original(text, right, where):
    """inspect takes the comments behind a function along."""
    rest = right[len(text):].split('\n')
    check(text and right.startswith(text) and all(line.strip()[:1] in ('', '#') for line in rest), '%s: the original is %r' % (where, text))


def compare_library(limit):
    done = 0
    for name in MODULES:
        try:
            module = importlib.import_module(name)
        except ImportError:
            continue
        with open(module.__file__, 'rb') as f:
            data = f.read()
        lines, before = compiler.decode(data, name).split('\n'), done
        future = [line for line in lines if line.startswith('from __future__')][:1]
        for function, cls in list(functions_of(module)):
            if function.__code__.co_filename != module.__file__ or '<' in function.__qualname__:
                continue
            if done - before == limit:
                break
            text = text_of(function, lines)
            if text is None or text.startswith(('def', 'class', 'async')):
                continue
            if future:
                text = future[0] + text
            answer = described(function, name, function.__qualname__, cls)
            said, blob = parsed(ask(text, mode='redefine', path='p', target=answer['target'], resolved={answer['target']: answer},
                                    files=[(module.__file__, data)] if done % 20 == 0 else []))
            if not blob:
                wrong.append('%s: %s %s' % (answer['target'], said['error'], said['traceback']))
                continue
            change = marshal.loads(blob)['changes'][0]
            found = [c for c in compiler.codes(change['maker']) if c.co_name == function.__code__.co_name and
                     c.co_firstlineno == function.__code__.co_firstlineno and c.co_flags & 1]
            check(len(found) == 1, '%s: %d code objects' % (answer['target'], len(found)))
            check_same(found[0], function.__code__, text, answer['target'])
            if done % 20 == 0:
                check_original(change['original'] or '', inspect.getsource(function), answer['target'])
            done += 1
    return done


def main():
    import compiled_cases
    compiled_cases.add_cases(case)
    for each in cases:
        try:
            run_case(*each)
        except Exception:
            wrong.append('%s: %s' % (each[0], traceback.format_exc()))
    functions = compare_library(int(sys.argv[2]))
    check(not [f for f in warnings.filters if type(f[1]).__name__ == 'Hush'], 'a filter of warnings was left behind')
    for line in wrong[:40]:
        print('wrong ' + ascii(line).replace('\\n', '\n    '))
    print('done %d %d %d' % (len(cases), functions, len(wrong)))


if __name__ == '__main__':
    compiler = load(sys.argv[1])
    main()
