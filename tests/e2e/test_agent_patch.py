#!/usr/bin/python3
"""What the agent changes, and that it is changed back to the very objects: every kind of target, every attribute, sets that fail half
way, reverts in any order, additions, counts, forks, and memory. The truth comes from the target, tests/targets/agent_patched.py."""
import json
import os
import subprocess
import time

import agents
import harness
from agents import Work, cli, cli_json, write
from harness import PATIENCE, Suite, check

M = '__import__("agent_patched")'

# (target, source of the function)
KINDS = [
    ('plain', 'def f(a=1): return "new", a'),
    ('wrapped', 'def f(a=1): return "new", a'),
    ('twice', 'def f(a=1): return "new", a'),
    ('updated', 'def f(a=1): return "new", a'),
    ('cached', 'def f(a=1): return "new", a'),
    ('part', 'def f(a, b=1): return "new", a, b'),
    ('lam', 'def f(a=1): return "new", a'),
    ('no_decorator', 'def f(): return "new", helper()'),
    ('outer.<locals>.inner', 'def f(a=1): return "new", a, x, y'),
    ('generator', 'def f(a=1):\n    yield "new"\n    yield a'),
    ('coroutine', 'async def f(a=1): return "new", a'),
    ('agenerator', 'async def f(a=1):\n    yield "new"\n    yield a'),
    ('Thing.method', 'def f(self, a=1): return "new", a'),
    ('Thing.static', 'def f(a=1): return "new", a'),
    ('Thing.klass', 'def f(cls, a=1): return "new", cls.__name__, a'),
    ('Thing.prop', 'def f(self): return "new", self.kept'),
    ('Thing.prop.setter', 'def f(self, value): self.kept = "new", value'),
    ('Thing.prop.fdel', 'def f(self): self.kept = "new", "deleted"'),
    ('Thing.slow', 'def f(self): return "new"'),
    ('Thing.__secret', 'def f(self): return "new"'),
    ('Thing.maker.<locals>.made', 'def f(): return "new", self.kept'),
    ('Data.total', 'def f(self): return "new", self.a'),
    ('Slotted.total', 'def f(self): return "new"'),
    ('imported', 'def f(a=1): return "new", a'),
]
SAME = {'outer(11)()': 'other', 'Thing().prop': ('new', 'old'), 'Thing().maker()()': ('new', 'old')}
ON = ('applied', 'leased')


def new_of(value):
    if isinstance(value, (tuple, list)):
        return type(value)(new_of(v) for v in value)
    return 'new' if value == 'old' else value


def patch_text(changes):
    text = 'from pylu import add, redefine, set_value\n'
    for n, (target, source) in enumerate(changes):
        text += '\n@redefine("agent_patched.%s")\n%s\n' % (target, source.replace('def f(', 'def f%d(' % n))
    return text


def started(folder, python):
    work = Work(folder, python)
    work.expect_value(M + ' and None', None)
    return work


def patches(work):
    return cli_json('ls', '-p', work.pid)['processes'][0].get('patches', [])


def notes_of(process):
    return process.get('notes', []) + [n for c in process.get('changes', []) for n in c.get('notes', [])] + [
        n for p in process.get('patches', []) for c in p['changes'] for n in c.get('notes', [])]


def until(what, test):
    deadline = time.monotonic() + PATIENCE
    while not test():
        check(time.monotonic() < deadline, '%s did not come' % what)
        time.sleep(0.01)


def every_kind(folder, python):
    work = started(folder, python)
    old = work.ask(M + '.values()')
    check(isinstance(old, dict) and old == work.ask(M + '.OF_ALL'), 'at the start: %r' % (old,))
    done = cli_json('patch', '-p', work.pid, write(folder, 'kinds.py', patch_text(KINDS)))['processes'][0]
    now = work.ask(M + '.values()')
    for expression, value in old.items():
        wanted = SAME.get(expression, new_of(value))
        check(now[expression] == wanted, '%s is %r, not %r' % (expression, now[expression], wanted))
    work.expect_value(M + '.first_inner()', ('old', 1, 1, 2))
    of = {change['target']: change for change in done['changes']}
    check('agent_patched_lib.imported' in of, 'the imported function is called otherwise: %s' % sorted(of))
    check(len(of['agent_patched.twice@2']['layers']) == 2 and 'layers' not in of['agent_patched.no_decorator'], 'layers: %r' % of)
    for target, word in (('twice@2', 'innermost'), ('cached', 'lru_cache'), ('Thing.slow', 'cached_property'),
                         ('outer.<locals>.inner', 'keeps the old code')):
        check(any(word in n for n in of['agent_patched.' + target]['notes']), 'of %s it says %r' % (target, of['agent_patched.' + target]))
    cli('revert', '-p', work.pid, 'all')
    check(work.ask(M + '.values()') == old, 'after the revert: %r' % (work.ask(M + '.values()'),))
    cli('redefine', '-p', work.pid, '--force', 'agent_patched.twice@0', write(folder, 'outer.py', 'def inner(*args): return "outermost"\n'))
    work.expect_value(M + '.twice()', 'outermost')
    work.finish()


def attributes(folder, python):
    work = started(folder, python)
    work.ask(M + '.keep()')
    cli('patch', '-p', work.pid, write(folder, 'whole.py', patch_text([
        ('whole', 'def f(a: float = 2, *, k: int = "new") -> dict:\n    """new"""\n    return ["new", a, k]'),
        ('explicit', 'def f(a: "new" = 2):\n    return "new"')])))
    work.expect_value(M + '.whole()', ['new', 2, 'new'])
    changed = {'__code__', '__defaults__', '__kwdefaults__', '__annotations__', '__doc__'}
    differing = work.ask(M + '.differing()')
    names = {n for f, n in differing if f == 'whole'} - {'__type_params__', '__annotate__'}
    check(names == changed, 'differing: %r' % (names,))
    annotations = work.ask('{k: v.__name__ for k, v in %s.whole.__annotations__.items()}' % M)
    check(annotations == {'a': 'float', 'k': 'int', 'return': 'dict'}, annotations)
    work.expect_value(M + '.explicit.__annotations__', {'a': 'new'})
    work.expect_value('(lambda w: (w.__doc__, w.__name__, w.__module__, w.mark, w()))(%s.whole)' % M,
                      ('new', 'whole', 'agent_patched', 'mark', ['new', 2, 'new']))
    work.expect_value(M + '.of_code()', ('whole', 'whole', True))
    work.expect_value('__import__("pickle").loads(__import__("pickle").dumps(%s.whole)) is %s.whole' % (M, M), True)
    source = work.ask('__import__("inspect").getsource(%s.whole)' % M)
    check('return ["new", a, k]' in source, 'inspect finds %r' % source)
    cli('revert', '-p', work.pid, 1)
    work.expect_value(M + '.differing()', [])
    work.expect_value(M + '.whole()', ['old', 1, 'old'])
    if python.version >= (3, 12):
        cli('redefine', '-p', work.pid, 'agent_patched.whole', write(folder, 'generic.py', (
            'def whole[T](a: T = 1, *, k: str = "old") -> list:\n    return [T.__name__]\n')))
        work.expect_value('[t.__name__ for t in %s.whole.__type_params__], %s.whole()' % (M, M), (['T'], ['T']))
        cli('revert', '-p', work.pid, 'all')
        work.expect_value(M + '.differing()', [])
    work.finish()


SET = '''
set_value("agent_patched", VALUE=['new'])
add("agent_patched", added=1)

class Kept:
    pass
'''
THREE = [(n, 'def f(a="new", *, k="new"): return "new", a, k') for n in ('first', 'second', 'third')]


def half_way(folder, python):
    """A hook forbids the nth step. All is as it was, for each n, on the way there and on the way back."""
    work = started(folder, python)
    patch = write(folder, 'set.py', patch_text(THREE) + SET)
    old = work.ask(M + '.of_three()')
    steps = 0
    for n in 1, 7, 9, 10, 13, 15, 16, 18, 100:
        work.ask('%s.fuse(%d)' % (M, n))
        status = 0 if n == 100 else 1
        done = cli_json('patch', '-p', work.pid, patch, status=status)['processes'][0]
        if status:
            check('the fuse blew' in done['error']['text'], 'step %d: %r' % (n, done))
            check(work.ask(M + '.of_three()') == old, 'step %d: %r' % (n, work.ask(M + '.of_three()')))
        steps = 100 - work.ask(M + '.Fuse.left')
    check(steps == 18, 'a change of three functions has %d steps' % steps)
    new = work.ask(M + '.of_three()')
    check(new == ([('new', 'new', 'new'), ('new', 'given', 'new')] * 3, [False] * 3, ['new'], ['added']), new)
    for n in 2, 8, 12, 17:
        work.ask('%s.fuse(%d)' % (M, n))
        cli('revert', '-p', work.pid, 1, status=1)
        check(work.ask(M + '.of_three()') == new, 'step %d back: %r' % (n, work.ask(M + '.of_three()')))
    check([p['state'] for p in patches(work)] == ['applied'], 'it is no longer applied')
    work.ask(M + '.fuse(0)')
    cli('revert', '-p', work.pid, 1)
    check(work.ask(M + '.of_three()') == old, work.ask(M + '.of_three()'))
    return 'a change of three functions has %d steps' % steps


def one(folder, name, answer):
    return write(folder, '%s_%s.py' % (name, answer), 'def %s(a="%s", *, k="old"): return "%s", a, k\n' % (name, answer, answer))


def orders(folder, python):
    work = started(folder, python)
    state = M + '.of_three()[0][::2]'

    def expect(*answers):
        got = [f[0] for f in work.ask(state)]
        check(got == list(answers), 'they say %s, not %s' % (got, answers))

    for name, answer in ('first', 'A'), ('second', 'B'), ('first', 'C'), ('third', 'D'), ('first', 'E'):
        cli('redefine', '-p', work.pid, 'agent_patched.' + name, one(folder, name, answer))
    expect('E', 'B', 'D')
    for ids in (1,), (3,), (1, 3), (1, 5):
        done = cli_json('revert', '-p', work.pid, *ids, status=1)['processes'][0]
        check('lies under patch' in done['error']['text'], done)
        expect('E', 'B', 'D')
    cli('revert', '-p', work.pid, 2)
    expect('E', 'old', 'D')
    cli('revert', '-p', work.pid, 3, 5)
    expect('A', 'old', 'D')
    cli('revert', '-p', work.pid, 1)
    expect('old', 'old', 'D')
    done = cli_json('revert', '-p', work.pid, 1, status=1)['processes'][0]
    check('not applied any more' in done['error']['text'], done)
    cli('revert', '-p', work.pid, 'all')
    expect('old', 'old', 'old')
    # Names lie on each other too.
    for value in 'one', 'two':
        cli('patch', '-p', work.pid, write(folder, value + '.py', 'from pylu import set_value\nset_value("agent_patched", VALUE="%s")\n' % value))
    check('lies under' in cli('revert', '-p', work.pid, 6, status=1).errors, 'a value was taken from under another')
    cli('revert', '-p', work.pid, 7)
    work.expect_value(M + '.VALUE', 'one')
    cli('revert', '-p', work.pid, 6)
    work.expect_value(M + '.VALUE', ['old'])
    check([p['id'] for p in patches(work)] == [1, 2, 3, 4, 5, 6, 7], 'ids')
    work.finish()


ADDED = '''
from pylu import add, redefine, set_value

set_value('agent_patched', VALUE=['new'])
set_value('agent_patched.Thing', static=staticmethod(lambda a=1: ('set', a)))
add('agent_patched', added_value=7)
add('agent_patched.Thing', level=3)

@add('agent_patched')
def added_function(n):
    return n + added_value

@add('agent_patched')
class AddedClass(Thing):
    def method(self, a=1):
        return super().method(a) + ('more',)

@add('agent_patched.Thing')
@property
def double(self):
    return self.level * 2

@add('agent_patched.Thing')
def __hidden(self):
    return 'hidden'

@redefine('agent_patched.Thing.tell')
def tell(self):
    return self.__hidden(), self.double, added_function(1)
'''


def additions(folder, python):
    work = started(folder, python)
    work.ask('sys.modules.setdefault("was", [%s.VALUE, vars(%s.Thing)["static"], sorted(vars(%s)), sorted(vars(%s.Thing))]) and None' % (M, M, M, M))
    cli('patch', '-p', work.pid, write(folder, 'added.py', ADDED))
    work.expect_value('(lambda m: (m.Thing().tell(), m.AddedClass().method(), m.Thing.static(), m.VALUE, m.added_function(1)))(%s)' % M,
                      (('hidden', 6, 8), ('old', 1, 'more'), ('set', 1), ['new'], 8))
    work.expect_value('(lambda m: (m.AddedClass.__module__, m.AddedClass.__qualname__, m.added_function.__module__))(%s)' % M,
                      ('agent_patched', 'AddedClass', 'agent_patched'))
    work.ask('setattr(%s, "VALUE", "by the program")' % M)
    done = cli_json('revert', '-p', work.pid, 1)['processes'][0]
    check(any('agent_patched.VALUE' in n and 'set to something else' in n for n in notes_of(done)), 'notes: %r' % done)
    work.expect_value('(lambda m, was: (m.VALUE is was[0], vars(m.Thing)["static"] is was[1], sorted(vars(m)) == was[2], '
                      'sorted(vars(m.Thing)) == was[3], m.Thing().tell()))(%s, sys.modules["was"])' % M, (True, True, True, True, 'old'))
    work.expect_value('sys.modules.pop("was") and None', None)
    work.finish()


def reloaded(folder, python):
    work = started(folder, python)
    cli('redefine', '-p', work.pid, 'agent_patched.plain', write(folder, 'plain.py', 'def plain(a=1): return "new", a\n'))
    work.ask('sys.modules.setdefault("before", [%s.plain]) and None' % M)
    work.ask('__import__("importlib").reload(%s) and None' % M)
    work.expect_value('%s.plain(), sys.modules["before"][0]()' % M, (('old', 1), ('new', 1)))
    (patch,) = patches(work)
    check(any('loaded again' in n for n in patch['changes'][0]['notes']), 'ls has no note: %r' % patch)
    done = cli_json('revert', '-p', work.pid, 1)['processes'][0]
    check(any('loaded again' in n for n in notes_of(done)), 'revert has no note: %r' % done)
    work.expect_value('%s.plain(), sys.modules["before"][0]()' % M, (('old', 1), ('old', 1)))
    work.expect_value('sys.modules.pop("before") and None', None)
    work.finish()


def counted(folder, python):
    """What is an error and what is not; the file in linecache; a patch goes with what lies on it."""
    work = started(folder, python)

    def patch(number):
        return [p for p in patches(work) if p['id'] == number][0]

    fix = write(folder, 'failing.py', 'def failing(kind):\n    raise kind("new")\n')
    cli('redefine', '-p', work.pid, '--count', '--except', 'LookupError', '--except', 'agent_patched.Special', 'agent_patched.failing', fix)
    for kind, errors in (('KeyError', 0), ('Special', 0), ('GeneratorExit', 0), ('StopIteration', 0), ('ValueError', 1), ('TypeError', 2)):
        got = work.ask('%s.raised("failing(%s)")' % (M, kind)) if kind != 'GeneratorExit' else work.ask(
            '%s.raised("[failing(StopAsyncIteration)]")' % M)
        check(got in (kind, 'StopAsyncIteration'), got)
        check(patch(1)['errors'] == errors, 'after %s: %r' % (kind, patch(1)))
    check(patch(1)['calls'] == 6, patch(1))
    work.expect_value(M + '.last_line()', ('raise kind("new")', 1))
    cli('redefine', '-p', work.pid, '--ttl', '1h', 'agent_patched.first', one(folder, 'first', 'x'))
    work.expect_value(M + '.last_line()[1]', 2)
    cli('revert', '-p', work.pid, 1)
    work.expect_value(M + '.last_line()', ("raise kind('on purpose')", 1))
    # A generator's end is none, what it raises is one, and then all goes.
    fix = write(folder, 'stops.py', 'def stops(a=1):\n    if a == 2:\n        raise ValueError("new")\n    yield a\n')
    cli('redefine', '-p', work.pid, '--revert-on-errors', 1, 'agent_patched.stops', fix)
    cli('redefine', '-p', work.pid, 'agent_patched.stops', write(folder, 'top.py', 'def stops(a=1):\n    yield "top"\n'))
    work.expect_value('list(%s.stops(2))' % M, ['top'])
    cli('revert', '-p', work.pid, 4)
    work.expect_value('[list(%s.stops()), %s.stops().close(), next(%s.stops(3))]' % (M, M, M), [[1], None, 3])
    check((patch(3)['errors'], patch(3)['state']) == (0, 'applied'), patch(3))
    work.ask('list(%s.stops(2))' % M)
    until('the end by errors', lambda: patch(3)['state'] == 'expired')
    work.expect_value('list(%s.stops(2))' % M, [1])
    work.finish()


def below_another(folder, python):
    """What takes itself back takes with it what lies on it, and nothing else."""
    work = started(folder, python)
    fix = write(folder, 'stops.py', 'def stops(a=1):\n    yield a\n    raise ValueError("below")\n')
    cli('redefine', '-p', work.pid, '--revert-on-errors', 1, 'agent_patched.stops', fix)
    work.ask('sys.modules.setdefault("kept", %s.stops(5)) and next(sys.modules["kept"])' % M)
    cli('redefine', '-p', work.pid, 'agent_patched.stops', write(folder, 'top.py', 'def stops(a=1):\n    yield "above"\n'))
    cli('redefine', '-p', work.pid, 'agent_patched.second', one(folder, 'second', 'beside'))
    work.expect_value('list(%s.stops())' % M, ['above'])
    check(work.ask('next(sys.modules["kept"])').startswith('ValueError'), 'the generator of below did not raise')
    until('the end by errors', lambda: patches(work)[0]['state'] == 'expired')
    check([p['state'] for p in patches(work)] == ['expired', 'expired', 'applied'], patches(work))
    work.expect_value('list(%s.stops()), %s.second()[0]' % (M, M), ([1], 'beside'))
    work.expect_value('sys.modules.pop("kept") and None', None)
    work.finish()


def agent_comes(pid):
    command = [agents.pylu_cli(), 'ls', '-p', str(pid)]
    until("the child's agent", lambda: not subprocess.call(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                                           stderr=subprocess.DEVNULL))


def forked(folder, python):
    work = started(folder, python)
    cli('redefine', '-p', work.pid, 'agent_patched.first', one(folder, 'first', 'A'))
    pid = work.ask('fork()')
    check(isinstance(pid, int), pid)
    agent_comes(pid)
    (patch,) = cli_json('ls', '-p', pid)['processes'][0]['patches']
    check((patch['id'], patch['state']) == (1, 'applied'), patch)
    cli('redefine', '-p', pid, 'agent_patched.first', one(folder, 'first', 'B'))
    check('patch 1 lies under patch 2' in cli('revert', '-p', pid, 1, status=1).errors, 'ids')
    cli('revert', '-p', pid, 'all')
    work.expect_value(M + '.first()[0]', 'old', worker=1)
    work.expect_value(M + '.first()[0]', 'A')
    work.finish()


def forked_half_way(folder, python):
    """A child that is forked in the middle of a change has all of it or nothing, and its agent knows which. The first 6 steps make
    copies, 3 put gates, 6 set what is behind them, 3 put the new codes."""
    work = started(folder, python)
    path = write(folder, 'set.py', patch_text(THREE) + SET)
    old = work.ask(M + '.of_three()')
    outcomes = []
    for worker, (n, arguments) in enumerate([(8, ['patch']), (12, ['patch']), (17, ['patch']), (8, ['revert']), (17, ['revert'])], 1):
        if arguments == ['revert'] and len(outcomes) == 3:
            cli('patch', '-p', work.pid, path)
        work.ask('%s.fuse(%d, True)' % (M, n))
        command = [agents.pylu_cli(), arguments[0], '-p', str(work.pid), path if arguments == ['patch'] else 'all']
        client = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                  preexec_fn=harness.die_with_parent)
        harness.running.append(client)
        pid = work.ask(M + '.fork_half_way()')
        check(isinstance(pid, int), pid)
        check(harness.ended(client, 'pylu-cli') == 0, 'pylu-cli failed')
        work.ask(M + '.fuse(0)')
        new = {'patch': work.ask(M + '.of_three()')}.get(arguments[0], outcomes and new)
        child = work.ask(M + '.of_three()', worker)
        check(child in (old, new), 'step %d: the child has %r, not %r nor %r' % (n, child, old, new))
        outcomes.append('new' if child == new else 'old')
        agent_comes(pid)
        on = [p['id'] for p in cli_json('ls', '-p', pid)['processes'][0].get('patches', []) if p['state'] in ON]
        check(bool(on) == (child == new), 'step %d: the child is %s, and its patches are %r' % (n, outcomes[-1], on))
        cli('revert', '-p', pid, 'all')
        check(work.ask(M + '.of_three()', worker) == old, 'step %d: after the revert %r' % (n, work.ask(M + '.of_three()', worker)))
        if arguments == ['patch']:
            cli('revert', '-p', work.pid, 'all')
        elif len(outcomes) == 4:
            cli('patch', '-p', work.pid, path)
    check(outcomes == ['old', 'old', 'new', 'new', 'old'], 'outcomes: %s' % outcomes)
    work.finish()


# Target, words of the answer.
NOT_THERE = [
    ('agent_patched.plian', ["'plain'"]),
    ('agent_patched.Thing.methd', ["'method'"]),
    ('agent_patched.Thnig.method', ["'Thing'"]),
    ('agent_patchd.plain', ["'agent_patched'"]),
    ('agent_patched.Thing.inherited', ['inherited', 'agent_patched.Parent.inherited']),
    ('agent_patched.sqrt', ['builtin_function_or_method']),
    ('builtins.len', ['builtin_function_or_method']),
    ('agent_patched.math.sqrt', ['is a module', "'math'"]),
    ('agent_patched.outer.<locals>.iner', ["'inner'"]),
    ('agent_patched.ambiguous.<locals>.inner', ['2 functions']),
    ('agent_patched.VALUE.x', ['list']),
    ('agent_patched.Thing.<locals>.x', ['no function']),
    ('agent_patched.twice@3', ['no layer 3; it has 3']),
    ('agent_patched.Thing.prop.seter', ['property']),
]


def not_there(folder, python):
    work = started(folder, python)
    fix = write(folder, 'f.py', 'def f(*a, **k): return "new"\n')
    for target, words in NOT_THERE:
        error = cli('redefine', '-p', work.pid, '--force', target, fix + ':f', status=1).errors
        for word in words:
            check(word in error, '%s: %r is not in %r' % (target, word, error))
    twice = patch_text([('outer', 'def f(x): return 1'), ('outer.<locals>.inner', 'def f(a=1): return "new", a')])
    check('two patches' in cli('patch', '-p', work.pid, '--force', write(folder, 'both.py', twice), status=1).errors, 'one function twice')
    check(not patches(work), 'something was applied')
    work.finish()


def cycles(folder, python, count):
    """A patch is applied and taken back over and over: blocks and memory stay, no finaliser sees a mixture."""
    work = started(folder, python)
    path = write(folder, 'set.py', patch_text(THREE) + 'from agent_patched import Numbered\nNUMBERED = Numbered()\n'
                 '\n@redefine("agent_patched.plain")\ndef plain(a=NUMBERED): return "new", NUMBERED\n' + SET)

    def run(times):
        done = subprocess.run([harness.tool('agent_cycle'), str(work.pid), path, str(times)], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=PATIENCE + times)
        check(done.returncode == 0, 'agent_cycle ended with %d: %s' % (done.returncode, done.stderr.decode('utf-8', 'replace')))
        return json.loads(done.stdout)

    def memory():
        blocks = work.ask('__import__("gc").collect() and 0 or sys.getallocatedblocks()')
        with open('/proc/%d/statm' % work.pid) as f:
            return blocks, int(f.read().split()[1]) * os.sysconf('SC_PAGE_SIZE')

    # The history and the journal fill, and the interpreter's own stores: then nothing comes on top.
    first, grown = min(count, 600), []
    run(first)
    while not grown or grown[-1][0] > count // 2 or grown[-1][1] > max(count * 100, 1 << 20):
        check(len(grown) < 5, '%d cycles left so many blocks and bytes, each time: %s' % (count, grown))
        blocks, resident = memory()
        said = run(count)
        more, more_resident = memory()
        grown.append((more - blocks, more_resident - resident))
    total = first + count * len(grown)
    made, freed, bad = work.ask('(lambda n: (n.made, n.freed, n.bad))(%s.Numbered)' % M)
    check(made == total and made - freed < 3 and not bad, '%d were made, %d freed, %s' % (made, freed, bad))
    check(len(patches(work)) <= 64, 'the list grows')
    work.finish()
    return '%d cycles left %d blocks and %d KB; the GIL was held for %d us in the median' % (
        count, grown[-1][0], grown[-1][1] >> 10, sorted(said['hold_us'])[count // 2])


def large(folder, python):
    """A thousand functions at once."""
    work = started(folder, python)
    work.ask('exec("\\n".join("def many%%d(a=\'old\', *, k=1): return a" %% n for n in range(1000)), vars(%s))' % M)
    path = write(folder, 'many.py', patch_text([('many%d' % n, 'def f(a="new", *, k=2): return a') for n in range(1000)]))
    done = cli_json('patch', '-p', work.pid, path)['processes'][0]
    work.expect_value('set(vars(%s)["many%%d" %% n]() for n in range(1000))' % M, {'new'})
    cli('revert', '-p', work.pid, 'all')
    work.expect_value('set(vars(%s)["many%%d" %% n]() for n in range(1000))' % M, {'old'})
    work.finish()
    return 'a thousand functions: the GIL was held for %d us, and for %d to prepare them' % (done['hold_us'], done['prepare_hold_us'])


def main():
    suite = Suite(__doc__)
    suite.parser.add_argument('--cycles', type=int, help='how often a patch is applied and taken back (default 200; 10,000 in one interpreter)')
    arguments = suite.start(needs_root=False)
    pythons = suite.interpreters()
    for python in pythons:
        for case in (every_kind, attributes, half_way, orders, additions, reloaded, counted, below_another, forked, forked_half_way, not_there):
            suite.run('%s: %s' % (python.name, case.__name__), case, python, python=python)
        if python in (pythons[0], pythons[-1]):
            suite.run('%s: large' % python.name, large, python, python=python)
        suite.run('%s: cycles' % python.name, cycles, python, arguments.cycles or (10000 if python is pythons[-1] else 200),
                  python=python)
    suite.finish()


if __name__ == '__main__':
    main()
