"""A target for test_snap: it shows objects, frames and comparisons to bpf_look by lseek() calls, and says what is right.

usage: snapshots.py DEPTH,ITEMS,CHARS...

Says 'plan JSON', and waits for a byte; makes the calls; says 'done', and waits until its stdin is closed.
"""
import collections
import enum
import functools
import json
import os
import struct
import sys

LIMITS = [[int(n) for n in a.split(',')] for a in sys.argv[1:]]
DEPTH, ITEMS, CHARS = LIMITS[0]
OBJECT, FRAME, COND, TEST = -3, -4, -5, -6  # see tests/bpf/look.bpf.c
ASCII, WIDE = sys.getsizeof('') - 1, sys.getsizeof('\u0100' * 2) - 6  # heads of compact strs


def show(kind, number, which):
    try:
        os.lseek(kind, number, which)
    except OSError:
        pass


class Plain:
    def __init__(self, **attributes):
        self.__dict__.update(attributes)


class Inline:
    """Its attributes are set one by one, and nobody asks for its __dict__: values with shared keys."""
    shown = ('first', 'second', 'third')

    def __init__(self, a, b):
        self.first = a
        self.second = b


class Wide:
    shown = ('a', 'b', 'c', 'd', 'e', 'f')

    def __init__(self, n):
        self.a, self.b, self.c, self.d, self.e, self.f = (number(n + i) for i in range(6))


class Slots:
    __slots__ = ('one', 'two', 'none')
    constant = 77

    def __init__(self, one, two):
        self.one, self.two = one, two


class Both(Slots):
    shown = ('three',)

    def __init__(self, one, two, three):
        Slots.__init__(self, one, two)
        self.three = three


class OwnList(list):
    shown = ()


class OwnInt(int):
    shown = ()


class OwnError(ValueError):
    def __init__(self, *args):
        ValueError.__init__(self, *args)
        self.more = ['more text', 12345]


class Point(collections.namedtuple('Point', 'x y')):
    __slots__ = ()


class Color(enum.Enum):
    RED = 123456


def function(a):
    return a


# ---- objects: what must be there

def deep(n):
    return [n, 'level %d' % n, deep(n - 1)] if n else ['bottom']


def number(n):
    """An int object of its own."""
    return int('1%06d' % n)


def cases():
    cycle = [number(1)]
    cycle.append(cycle)
    holes = {i: str(i) for i in range(40)}
    for i in range(30):
        del holes[i]
    sparse = set(range(1000, 1200))
    for i in range(1000, 1195):
        sparse.discard(i)
    mixed = Inline(number(2), 'second')
    mixed.third = [number(3)]
    detached = Inline(number(4), 'of a dict')
    detached.__dict__['other'] = number(5)
    many = Plain(**{'attribute%d' % i: number(100 + i) for i in range(60)})
    missing = Inline(number(6), 'two')
    del missing.first
    yield 'int', number(7)
    yield 'zero', 0
    yield 'negative', -number(8)
    yield 'big', 3 ** 400
    yield 'huge', -(7 ** 9000)
    yield 'float', 1.5
    yield 'complex', 1 + 2j
    yield 'None', None
    yield 'bool', True
    yield 'ascii', 'plain %d' % ITEMS
    yield 'latin', 'caf\xe9' * 3
    yield 'ucs2', '\u0416\u0417' * 20
    yield 'ucs4', '\U0001f600' * 30
    yield 'long ascii', 'x' * 5000
    yield 'long ucs4', '\U0001f600' * 600
    yield 'empty', ''
    yield 'bytes', b'some bytes'
    yield 'long bytes', bytes(range(256)) * 20
    yield 'bytearray', bytearray(b'changeable ' * 3)
    yield 'list', [number(9), 'x1', None, 2.25]
    yield 'empty list', []
    yield 'long list', [number(200 + i) for i in range(700)]
    yield 'tuple', (number(10), ('inner', number(11)))
    yield 'nested', deep(6)
    yield 'cycle', cycle
    yield 'dict', {'key': number(12), number(13): ['value'], ('a', number(14)): None}
    yield 'empty dict', {}
    yield 'holes', holes
    yield 'large dict', {'k%d' % i: number(1000 + i) for i in range(300)}
    yield 'set', {number(15), 'element', (number(16),)}
    yield 'frozenset', frozenset([number(17)])
    yield 'sparse', sparse
    yield 'large set', set(number(2000 + i) for i in range(300))
    yield 'plain', Plain(a=number(18), b=['x', number(19)])
    yield 'inline', Inline(number(20), {'k': number(21)})
    yield 'mixed', mixed
    yield 'wide', Wide(300)
    yield 'detached', detached
    yield 'many', many
    yield 'missing', missing
    yield 'nested instances', Inline(Inline(Inline('in', number(22)), number(23)), number(24))
    yield 'slots', Slots(number(25), ['slot', number(26)])
    yield 'both', Both(number(27), 'two', number(28))
    yield 'own list', OwnList([number(29), 'own'])
    yield 'own int', OwnInt(number(30))
    yield 'namedtuple', Point(number(31), 'y')
    yield 'enum', Color.RED
    yield 'ValueError', ValueError('wrong', number(32))
    yield 'own error', OwnError('own', number(33))
    yield 'key error', KeyError('no key')
    yield 'function', function
    yield 'lambda', (lambda x: x)
    yield 'method', Inline(number(34), 'of a method').__init__
    yield 'class', Inline
    yield 'module', json
    yield 'builtin', len
    yield 'range', range(number(35), number(36), 3)
    yield 'slice', slice(number(37), number(38))
    yield 'partial', functools.partial(function, number(39))
    yield 'deque', collections.deque([1])
    yield 'default', collections.defaultdict(list, k=[number(40)])
    yield 'ordered', collections.OrderedDict(k=number(41))


def parts(o, more=0):
    """What an object leads to, one level further, each container's first `ITEMS + more`."""
    n = ITEMS + more
    if isinstance(o, (str, bytes, bytearray, type)) or o is None:
        return
    if isinstance(o, dict):
        for key, value in list(o.items())[:n]:
            yield key
            yield value
    elif isinstance(o, (list, tuple, set, frozenset)):
        yield from list(o)[:n]
    elif isinstance(o, (range, slice)):
        yield from (o.start, o.stop, o.step)
    elif isinstance(o, BaseException):
        yield from o.args[:n]
    shown = getattr(type(o), 'shown', None)
    if shown is not None:
        yield from (getattr(o, name) for name in shown[:n] if hasattr(o, name))
    elif isinstance(o, (Plain, enum.Enum, BaseException)):
        yield from list(o.__dict__.values())[:n]
    for base in type(o).__mro__:
        yield from (getattr(o, name) for name in base.__dict__.get('__slots__', ()) if hasattr(o, name))


def names(o):
    """What is wanted at the last level too."""
    if type(o) is type(Inline.__init__):
        yield o.__qualname__
    if type(o) is type(Inline(0, 0).__init__):
        yield o.__func__
        yield o.__func__.__qualname__


def length(o):
    """Of the copy of a str, bytes or int from its start; None: not said."""
    if type(o) is str:
        last = max(o, default='a')
        width = 1 if last < '\u0100' else 2 if last < '\U00010000' else 4
        return (ASCII if last < '\x80' else WIDE) + width * min(len(o), CHARS)
    if type(o) is bytes:
        return sys.getsizeof(b'') - 1 + min(len(o), CHARS)
    if type(o) is int and o:
        return min(sys.getsizeof(o), sys.getsizeof(1) - 4 + 1024)
    return None


def reached(root):
    """{id: length} of what must be there, and the ids that must not be."""
    common = {id(o) for o in (None, True, False, Color, *range(-5, 257))}
    must, level, forbidden = {id(root): length(root)}, [root], set()
    for depth in range(DEPTH):
        below = []
        for o in level:
            for part in parts(o):
                if id(part) not in must:
                    must[id(part)] = length(part)
                    below.append(part)
            forbidden.update(id(part) for part in parts(o, 1000) if not isinstance(o, (set, frozenset)))
        level = below
    must.update((id(name), length(name)) for name in names(root))
    forbidden.update(id(part) for o in level for part in parts(o))
    return must, forbidden - set(must) - common


def text(o):
    """Bytes that must be in some piece."""
    return bytes(o[:CHARS]).hex() if type(o) is bytearray else None


# ---- frames: arguments and operands

UNBOUND, MISSING, MASKED = 1, 2, 4  # enum wire_root_status
GLOBAL = ['a global', number(50)]
HOLDER = Inline(Slots(number(51), 'deep slot'), number(52))


def frame(a, b, c=None, *rest, key=None, **others):
    """Its variables; those of the inner function's cells too."""
    local = [number(53)]
    cell = number(54)

    def inner():
        return cell, a, me

    me = HOLDER
    slotted = Slots(number(55), 'two')
    both = Both(number(56), 'b2', number(57))
    error = OwnError('args')
    spare = 'deleted'
    del spare
    here = sys._getframe()
    code = here.f_code
    if sys.version_info < (3, 11):  # cells are behind the variables
        where = {n: len(code.co_varnames) + i for i, n in enumerate(code.co_cellvars)}
    else:  # an argument that is a cell is at its own place
        where = {n: len(code.co_varnames) + i
                 for i, n in enumerate(n for n in code.co_cellvars if n not in code.co_varnames)}

    def at(name):
        return where[name] if name in where else code.co_varnames.index(name)

    operands = [
        ('local %d' % at('local'), local), ('local %d' % at('cell'), cell), ('local %d' % at('a'), a),
        ('local %d' % at('spare'), UNBOUND), ('local %d first' % at('me'), HOLDER.first),
        ('local %d second' % at('me'), HOLDER.second), ('local %d first one' % at('me'), HOLDER.first.one),
        ('local %d nothing' % at('me'), MISSING), ('local %d one' % at('slotted'), slotted.one),
        ('local %d none' % at('slotted'), MISSING), ('local %d constant' % at('slotted'), Slots.constant),
        ('local %d __init__' % at('slotted'), MISSING), ('local %d three' % at('both'), both.three),
        ('local %d two' % at('both'), both.two), ('local %d more' % at('error'), error.more),
        ('global GLOBAL', GLOBAL), ('global len', len), ('global nowhere', MISSING),
        ('global HOLDER first two', HOLDER.first.two), ('global Slots constant', Slots.constant),
        ('global json dumps', json.dumps), ('global Color _member_names_', Color._member_names_),
        ('masked local %d' % at('local'), MASKED),
    ]
    finish(here, [a, b, c, key, rest, others], operands)
    return inner


def caller(*args, **more):
    return frame(*args, **more)


# ---- comparisons

class Equal:
    """Equals all."""

    def __eq__(self, other):
        return True

    __hash__ = None


class OddInt(int):
    def __eq__(self, other):
        return False

    __hash__ = int.__hash__


VALUES = [0, 1, -1, 5, True, False, None, 2 ** 30, -2 ** 31, 2 ** 53, 2 ** 53 + 1, 2 ** 60, 2 ** 63 - 1, 2 ** 63, -2 ** 63,
          -2 ** 63 - 1, 10 ** 30, -10 ** 30, 0.0, -0.0, 1.0, 0.5, -0.5, 1e300, -1e300, 2.0 ** 53, 2.0 ** 60, 2.0 ** 63,
          -2.0 ** 63, float('inf'), float('-inf'), float('nan'), 5e-324, '', 'a', 'b', 'ab', 'abc', 'user', 'x' * 32,
          'x' * 33, 'x' * 32 + 'y', 'caf\xe9', 'a\0', [], [1], (), (1,), {}, {1: 2}, set(), {3}, b'', b'x',
          OddInt(5), Equal(), function, OwnInt(0)]
INT, FLOAT, STR, NONE, BOOL, OPERAND = 3, 4, 5, 1, 2, 0  # enum wire_const_kind
OPERATIONS = [lambda a, b: a == b, lambda a, b: a != b, lambda a, b: a < b, lambda a, b: a <= b, lambda a, b: a > b,
              lambda a, b: a >= b, lambda a, b: a is b, lambda a, b: a is not b, lambda a, b: bool(a)]
IS, IS_NOT, TRUE = 6, 7, 8
# Of these nothing but their identity is known: every comparison may be left to userspace.
STRANGE = (OddInt, Equal, OwnInt, type(function))


def constant(value):
    """Its kind and text, for bpf_look; None: there is none such."""
    if value is None:
        return '%d 0' % NONE
    if isinstance(value, bool):
        return '%d %d' % (BOOL, value)
    if type(value) is int and -2 ** 63 <= value < 2 ** 63:
        return '%d %d' % (INT, value)
    if type(value) is float:
        return '%d %s' % (FLOAT, struct.pack('>d', value).hex())
    if type(value) is str and len(value) <= 32 and all(c < '\x80' for c in value):
        return '%d %s' % (STR, value.encode().hex() or '-')
    return None


def may_be_undecided(a, b, op):
    if op == TRUE:
        return isinstance(a, STRANGE)
    if op in (IS, IS_NOT):
        return False
    if isinstance(a, STRANGE) or isinstance(b, STRANGE):
        return True
    big = [isinstance(x, int) and abs(x) >= 2 ** 63 for x in (a, b)]
    containers = (list, tuple, dict, set, bytes)
    texts = type(a) is str and type(b) is str
    return (all(big) or (any(big) and (isinstance(a, float) or isinstance(b, float) or -2 ** 63 in (a, b)))
            or (isinstance(a, containers) and isinstance(b, containers))
            or texts and ('\xe9' in a + b or (len(a) > 32 and len(b) > 32)))


def comparisons(values):
    """[(what for lseek(), the truth, whether it may be undecided)]; the constants."""
    constants = ['%d %d' % (OPERAND, i) for i in range(len(values))]
    # A third of all pairs: the rest differs in nothing but where the second one comes from.
    pairs = [(i, k, b) for i in range(len(values)) for k, b in enumerate(values) if (i + k) % 3 == 0 or i == k]
    for b in values:
        text = constant(b)
        if text:
            pairs += [(i, len(constants), b) for i in range(len(values))]
            constants.append(text)
    tests = []
    for i, c, b in pairs:
        for op in range(len(OPERATIONS)):
            a = values[i]
            if op in (IS, IS_NOT) and c >= len(values) and not (b is None or isinstance(b, bool)):
                continue
            if op == TRUE and c:
                continue
            try:
                truth = bool(OPERATIONS[op](a, b))
            except TypeError:
                truth = False
            tests.append((op | i << 4 | c << 12, truth, may_be_undecided(a, b, op)))
    return tests, constants


# ---- connectives: what the steps make of true, false and undecided tests

def connected():
    """[(lines for bpf_look, the result)] of all formulas of two tests, and some longer ones."""
    odd = [type(v) for v in VALUES].index(OddInt)
    of = {0: 'test 0 0 3 1', 1: 'test 0 0 3 0', 2: 'test 0 %d 3 0' % odd}  # operand 0 is 0

    def both(a, b):
        return 0 if 0 in (a, b) else 2 if 2 in (a, b) else 1

    def either(a, b):
        return 1 if 1 in (a, b) else 2 if 2 in (a, b) else 0

    def inverted(a):
        return 2 if a == 2 else 1 - a

    for a in of:
        for b in of:
            yield [of[a], of[b], 'step 0', 'step 1', 'step 128'], both(a, b)
            yield [of[a], of[b], 'step 0', 'step 1', 'step 129'], either(a, b)
            yield [of[a], of[b], 'step 0', 'step 130', 'step 1', 'step 129'], either(inverted(a), b)
            yield [of[a], of[b], 'step 0', 'step 1', 'step 0', 'step 128', 'step 129'], either(a, both(b, a))
    yield [of[0]] * 16 + ['step %d' % i for i in range(16)] + ['step 129'] * 15, 0
    yield [of[0]] * 15 + [of[1]] + ['step %d' % i for i in range(16)] + ['step 129'] * 15, 1


def described(objects):
    return [[name, id(o)] + [sorted(x.items() if isinstance(x, dict) else x) for x in reached(o)] + [text(o)]
            for name, o in objects]


def finish(here, arguments, operands):
    """Says what is right, and shows all of it."""
    global DEPTH, ITEMS, CHARS
    objects = list(cases())
    tests, constants = comparisons(VALUES)
    conds = list(connected())
    stack, above = [], here.f_back
    while above:
        stack.append([id(above.f_code), above.f_lasti])
        above = above.f_back
    described_all = []
    for DEPTH, ITEMS, CHARS in LIMITS:
        described_all.append(described(objects))
    plan = {
        'objects': described_all,
        'operands': ['local %d' % (2 + i) for i in range(len(VALUES))] + [o for o, _ in operands],
        'roots': [[0, MASKED] if o is arguments[1] else [id(o), 0] for o in arguments] + [[0, o] if o in (UNBOUND, MISSING, MASKED) else [id(o), 0]
                                                    for _, o in operands],
        'stack': stack, 'tests': tests, 'constants': constants, 'conds': conds,
    }
    print('plan ' + json.dumps(plan), flush=True)
    sys.stdin.read(1)
    for i in range(len(LIMITS)):
        for k, (_, o) in enumerate(objects):
            show(OBJECT, id(o), i << 16 | k)
    show(FRAME, id(here), len(VALUES))
    # A function with all the values as its variables.
    scope = {'sys': sys, 'show': show}
    exec('def compare(kinds, here, %s):\n'
         '    here = sys._getframe()\n'
         '    for kind, which in kinds:\n'
         '        show(kind, id(here), which)\n' % ', '.join('v%d' % i for i in range(len(VALUES))), scope)
    scope['compare']([(TEST, t[0]) for t in tests] + [(COND, i) for i in range(len(conds))], None, *VALUES)
    print('done', flush=True)
    sys.stdin.read()


if __name__ == '__main__':
    caller(['argument', number(60)], number(61), 'c', number(62), key=number(63), word=number(64))
