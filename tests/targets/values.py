"""values: holds a value of every kind and says of each where it lies, how far it is to be followed, and what it is: its own
repr, or the form that is expected where ours differs. Then it waits until its stdin is closed.

With 'calls KIND' as arguments, it says of the values of that kind with the limits below what they are, and then, when it is
told to go on, calls show() with one after the other.

A line: kind, address, depth, items, chars, text, with tabs between and escapes in the text. Kinds: 'text'; 'masked', the same
with masking; 'json', whose text is JSON.
"""
import abc
import array
import builtins
import collections
import dataclasses
import datetime
import decimal
import enum
import fractions
import io
import json
import math
import operator
import random
import re
import struct
import sys
import time
import types

keep = []  # (kind, value, depth, items, chars, text)
DEPTH, ITEMS, CHARS = 4, 50, 300


def escape(text):
    return text.replace('\\', '\\\\').replace('\t', '\\t').replace('\n', '\\n').encode('utf-8', 'surrogatepass')


def write(*fields):
    sys.stdout.buffer.write(b'\t'.join(escape(f) for f in fields) + b'\n')


def say(kind, value, text, depth=DEPTH, items=ITEMS, chars=CHARS):
    keep.append((kind, value, depth, items, chars, text))


def same(value, **limits):
    say('text', value, repr(value), **limits)


def shown(value, text, **limits):
    say('text', value, text, **limits)


def masked(value, text, **limits):
    say('masked', value, text, **limits)


def as_json(value, expected, **limits):
    say('json', value, json.dumps(expected), **limits)


def constants():
    for value in (None, True, False, Ellipsis, NotImplemented):
        same(value)


def ints():
    for n in (0, 1, -1, 5, 255, 257, 2**30 - 1, 2**30, -2**30, 2**31, 2**60, 2**62, 2**63 - 1, 2**63, -2**63, -2**63 - 1, 2**64,
              10**18, 10**19, -10**27, 10**40, 3**200, -3**300, 7**150, 1000000000, 999999999, 10**9 * 10**9, 10**100):
        same(n)
    n = 10**299
    same(n)
    shown(n * 10, '<int of %s bits>' % format((n * 10).bit_length(), ','))
    shown(-n * 10, '<negative int of %s bits>' % format((n * 10).bit_length(), ','))
    shown(1 << 6000, '<int of 6,001 bits>')
    shown(-1 << 40000, '<negative int of up to 40,020 bits>')  # more than is copied
    assert not hasattr(sys, 'set_int_max_str_digits') or not sys.set_int_max_str_digits(0)
    same(3**9000, chars=5000)


def floats():
    numbers = [0.0, -0.0, 1.0, -1.5, 0.1, 1e15, 1e16, 1e17, 123456789012345680.0, 9999999999999998.0, 1e-4, 1e-5, 1.5e-7,
               math.inf, -math.inf, math.nan, math.pi, 5e-324, 1.7976931348623157e308, 2.2250738585072014e-308, 1e22, 1e23,
               0.0001, 0.00012345, 100.0, 12345.678]
    numbers += [math.ldexp(1, e) for e in range(-1074, 1024, 7)]
    chance = random.Random(4)
    numbers += [struct.unpack('d', chance.getrandbits(64).to_bytes(8, 'little'))[0] for i in range(300)]
    for number in numbers:
        same(number)
    for z in (0j, 1j, -1j, 1 + 2j, -1.5 - 0.0j, complex(-0.0, 1), complex(math.nan, math.inf), complex(1e16, 1e-5), 3 + 0j):
        same(z)


def strs():
    texts = ['', 'a', 'plain', "it's", 'say "x"', '''both ' and "''', 'tab\tnew\nline\rback\\', 'nul\0', '\x7f\x80\xa0\xad\xff',
             'caf\u00e9', '\u03bc\u03ad\u03c3\u03b1', '\u65e5\u672c', '\U0001f600', '\ud800 lone', '\u200b\u202e\u2028', '\ue000\ufffd\uffff',
             '\U0010ffff\U000e0001', '\u0378', ' ', '\u3000', 'x' * CHARS, '\xe9' * CHARS, '\U0001f600' * CHARS, '\x1b[31mred']
    for text in texts:
        same(text)
    shown('x' * 301, repr('x' * 300) + '... 301 chars')
    shown('\u65e5' * 5000, repr('\u65e5' * 20) + '... 5,000 chars', chars=20)
    shown("'" + '"' * 30, '"\'"... 31 chars', chars=1)
    shown('abc', "''... 3 chars", chars=0)
    for data in (b'', b'a', b"it's", b'"\'', bytes(range(256)), b'\x1b[31m', b'\\'):
        same(data)
        shown(bytearray(data), 'bytearray(%r)' % data)  # to 3.14 it escapes more than it has to
    shown(b'x' * 1000, repr(b'x' * 300) + '... 1,000 bytes')


def containers():
    for value in ([], [1], [1, 'a', None], (), (1,), (1, 2), {}, {'a': 1}, {1: 'x', (2, 3): [4], None: {}}, set(), {1}, frozenset(),
                  frozenset({1, 2}), [[], (), {}, set()], [[1], [2, [3]]], {'a': {'b': {'c': 1}}}, {i: str(i) for i in range(30)},
                  [(1,), [2.5], {'x': (None, True)}], set('abcdefghijklmnop'), [0] * 50, {True: 1, 2.5: 2, b'x': 3}):
        same(value)
    shown(list(range(1000)), '[0, 1, ... 998 more]', items=2)
    shown(tuple(range(1000)), '(0, ... 999 more)', items=1)
    shown({i: i for i in range(1000)}, '{0: 0, 1: 1, ... 998 more}', items=2)
    shown(set(range(1000)), '{0, 1, 2, ... 997 more}', items=3)
    shown([1, 2], '[... 2 items]', items=0)
    shown([[1, 2], {}, {1: 1}, (5,), set('ab')], '[[... 2 items], {}, {... 1 item}, (... 1 item), {... 2 items}]', depth=1)
    shown([1], '[... 1 item]', depth=0)
    shown([], '[]', depth=0)
    shown([[[[1]]]], '[[[... 1 item]]]', depth=2)
    holes = {i: i for i in range(20)}
    for i in range(15):
        del holes[i]
    same(holes)
    holes = set(range(10))
    holes -= {0, 1, 2, 5}
    same(holes)
    again = [1]
    again.append(again)
    same(again)
    again = {}
    again['me'] = again
    same(again)
    again = ([],)
    again[0].append(again)
    same(again)
    shared = [1]
    same([shared, shared, (shared,)])


class Plain:
    def __init__(self, **more):
        self.__dict__.update(more)

    def method(self):
        pass


class Attributes:
    def __init__(self):
        self.a = 1
        self.b = 'two'


class Slots:
    __slots__ = ('b', 'a', 'unset')

    def __init__(self):
        self.a = 1
        self.b = [2]


class MoreSlots(Slots):
    __slots__ = ('c', '__dict__')

    def __init__(self):
        super().__init__()
        self.c = 3
        self.d = 4


class Outer:
    class Inner:
        def __init__(self):
            self.x = 1


class Truth:
    def __bool__(self):
        return False


def backwards():
    o = Attributes.__new__(Attributes)
    o.b, o.a = 1, 2
    return o


def instances():
    shown(Attributes(), '<__main__.Attributes a=1 b=\'two\'>')
    shown(Plain(), '<__main__.Plain object>')
    shown(Plain(x=1, y=[2]), '<__main__.Plain x=1 y=[2]>')
    shown(Plain(**{'a%d' % i: i for i in range(40)}), '<__main__.Plain %s>' % ' '.join('a%d=%d' % (i, i) for i in range(40)))
    shown(Slots(), with_slots(Slots()))
    shown(MoreSlots(), with_slots(Slots()).replace('>', ' c=3 d=4>').replace('Slots', 'MoreSlots'))
    shown(Outer.Inner(), '<__main__.Outer.Inner x=1>')
    shown(object(), '<object object>')
    shown(Truth(), '<__main__.Truth object>')
    for i in range(3):
        more = Attributes()
        more.c = i
        shown(more, "<__main__.Attributes a=1 b='two' c=%d>" % i)
    same(Attributes().__dict__)
    more = Attributes()
    more.__dict__
    more.late = 1
    same(more.__dict__)
    shown(more, "<__main__.Attributes a=1 b='two' late=1>")
    shown(backwards(), '<__main__.Attributes b=1 a=2>')
    same(backwards().__dict__)
    other = backwards()
    del other.a
    shown(other, '<__main__.Attributes b=1>')
    other = backwards()
    other.__dict__ = {'z': 0}
    shown(other, '<__main__.Attributes z=0>')
    shown(Plain(a=1, b=2, c=3), '<__main__.Plain a=1 ... 2 more>', items=1)
    shown(Plain(a=1), '<__main__.Plain ...>', depth=0)
    shown([Plain(a=1)], '[<__main__.Plain ...>]', depth=1)
    me = Plain()
    me.me = me
    shown(me, '<__main__.Plain me=...>')


@dataclasses.dataclass
class Point:
    x: int
    y: object = None
    kind = 'class'
    hidden: str = dataclasses.field(default='no', repr=False)


@dataclasses.dataclass
class Point3(Point):
    z: int = 3


class Named(collections.namedtuple('Named', 'x y')):
    pass


Pair = collections.namedtuple('Pair', ['first', 'second'])


class Color(enum.Enum):
    RED = 1
    GREEN = ('a', 2)


class Number(enum.IntEnum):
    ONE = 1
    BIG = 2**70


class Flags(enum.Flag):
    R = 1
    W = 2


class Text(str, enum.Enum):
    HELLO = 'hello'


class MyStr(str):
    pass


class MyInt(int):
    pass


class MyFloat(float):
    pass


class MyList(list):
    pass


class MyDict(dict):
    pass


class MyTuple(tuple):
    pass


class MySet(set):
    pass


class MyBytes(bytes):
    pass


class MyError(ValueError):
    pass


class Custom(Exception):
    def __init__(self, code):
        super().__init__('code %d' % code, code)
        self.code = code


def classes():
    same(Point(1, 'b'))
    same(Point3(1, [2]))
    shown(Point(1, [2]), 'Point(...)', depth=0)
    same(Pair(1, 'x'))
    same(Named(1, 2))
    shown(Pair(1, 2), 'Pair(first=1, ... 1 more)', items=1)
    for member in list(Color) + list(Number) + [Flags.R]:
        same(member)
    shown(Text.HELLO, "<Text.HELLO: 'hello'>")
    shown([Color.RED], '[<Color.RED: 1>]')
    shown(MyStr('abc'), "MyStr('abc')")
    shown(MyStr('\u65e5'), "MyStr('\u65e5')")
    shown(MyInt(5), 'MyInt(5)')
    shown(MyInt(-2**100), 'MyInt(%d)' % -2**100)
    shown(MyFloat(2), 'MyFloat(2.0)')
    shown(MyList([1]), 'MyList([1])')
    shown(MyDict(a=1), "MyDict({'a': 1})")
    shown(MyTuple((1,)), 'MyTuple((1,))')
    same(MySet([1]))
    same(MySet())
    shown(MyBytes(b'x'), "MyBytes(b'x')")
    shown(collections.OrderedDict(a=1), "OrderedDict({'a': 1})")
    shown(collections.defaultdict(list, a=[1]), "defaultdict({'a': [1]})")
    same(collections.Counter('aab'))


def errors():
    for error in (ValueError(), ValueError('x'), ValueError('x', 2), KeyError('k'), OSError(2, 'gone'), MyError([1]), Custom(3),
                  StopIteration(5), SystemExit(0)):
        same(error)
    try:
        [][1]
    except IndexError as error:
        same(error)
    try:
        1 / 0
    except ZeroDivisionError as error:
        same(error)
    try:
        None.x
    except AttributeError as error:
        same(error)
    if sys.version_info >= (3, 11):
        same(ExceptionGroup('two', [ValueError(1), TypeError('t')]))  # noqa: F821
    shown(ValueError(1), 'ValueError(...)', depth=0)
    shown(ValueError(*range(100)), 'ValueError(0, 1, ... 98 more)', items=2)


def outside(x):
    def inside():
        return x
    return inside


def callables():
    shown(outside, '<function __main__.outside>')
    shown(outside(1), '<function __main__.outside.<locals>.inside>')
    shown(Plain.method, '<function __main__.Plain.method>')
    shown(json.dumps, '<function json.dumps>')
    shown(lambda: 1, '<function __main__.callables.<locals>.<lambda>>')
    shown(len, '<built-in function len>')
    shown([].append, '<built-in method append of list object>')
    shown(math.sin, '<built-in function sin>')
    shown(dict.fromkeys, '<built-in method fromkeys of type object>')
    shown(Plain(a=1).method, '<bound method Plain.method of <__main__.Plain ...>>')
    for value in (int, Plain, Outer.Inner, collections.OrderedDict, ValueError, type, abc.ABCMeta, datetime.date, object, type(None)):
        same(value)
    shown(Color, "<enum '__main__.Color'>")
    shown(json, "<module 'json'>")
    shown(sys, "<module 'sys'>")
    shown(builtins, "<module 'builtins'>")
    shown(types.ModuleType('made'), "<module 'made'>")
    shown(outside([5]).__closure__, '(<cell: [5]>,)')
    shown((types.CellType(), outside(5).__closure__[0]), '(<cell: empty>, <cell: 5>)')


def others():
    for value in (range(3), range(1, 5), range(0, 10, 2), range(5, 0, -1), range(2**70), slice(1), slice(1, 2), slice(None, None, -1),
                  slice('a', [1])):
        same(value)
    shown(range(10**20), 'range(...)', depth=0)
    for value in (datetime.date(2024, 2, 29), datetime.datetime(2024, 1, 2, 3, 4), datetime.datetime(2024, 1, 2, 3, 4, 5),
                  datetime.datetime(2024, 1, 2, 3, 4, 0, 6), datetime.time(1, 2), datetime.time(1, 2, 3, 4), datetime.timedelta(),
                  datetime.timedelta(1, 2, 3), datetime.timedelta(-1, 5), datetime.timedelta(microseconds=1)):
        same(value)
    shown(datetime.datetime(2024, 1, 2, tzinfo=datetime.timezone.utc), 'datetime.datetime(2024, 1, 2, 0, 0, tzinfo=...)')
    for text in ('0', '1', '-1', '1.50', '0.00', '1E+5', '1E-10', '0.000001', '1E-7', '-0', 'NaN', 'sNaN', 'Infinity', '-Infinity', '123456789012345678901234567890',
                 '1234567890123456789.01234567890123456789', '12.3E+7', '0E+3', '100'):
        same(decimal.Decimal(text))
    shown(fractions.Fraction(1, 3), with_slots(fractions.Fraction(1, 3)))
    for value, text in ((re.compile('x'), None), (array.array('i', [1]), None), (io.BytesIO(), None), (operator.itemgetter(1), None),
                        ((i for i in ()), None), (iter([]), None), (zip(), None), (memoryview(b''), None)):
        shown(value, '<%s object>' % full_name(type(value)))


def full_name(cls):
    return cls.__qualname__ if cls.__module__ == 'builtins' else cls.__module__ + '.' + cls.__qualname__


def slots(value):
    """The names of its class's slots, in the order in which the class has them."""
    return [n for n, d in type(value).__dict__.items() if isinstance(d, types.MemberDescriptorType) and hasattr(value, n)]


def with_slots(value):
    return '<%s %s>' % (full_name(type(value)), ' '.join('%s=%r' % (n, getattr(value, n)) for n in slots(value)))


def secrets():
    masked({'user': 'x', 'password': 'p', 'a': {'apiKey': 1, b'cookie': b'c'}}, "{'user': 'x', 'password': <masked>, 'a': {'apiKey': <masked>, b'cookie': <masked>}}")
    masked(Plain(user='x', auth_token='t'), "<__main__.Plain user='x' auth_token=<masked>>")
    masked(Slots2(), with_slots(Slots2()).replace("'s'", '<masked>'))
    masked(Login('x', 'p'), "Login(user='x', password=<masked>)")
    masked(collections.namedtuple('Key', 'name pin')('x', 1234), "Key(name='x', pin=<masked>)")
    masked([('Cookie', 'c'), (b'authorization', b'x'), ('ok', 1)], "[('Cookie', <masked>), (b'authorization', <masked>), ('ok', 1)]")
    masked({1: 'x', None: 2}, "{1: 'x', None: 2}")
    shown({'password': 'p'}, "{'password': 'p'}")
    masked({'x' * 400 + 'password': 1}, repr({'x' * 400 + 'password': 1}), chars=500)


class Slots2:
    __slots__ = ('secret', 'user')

    def __init__(self):
        self.secret, self.user = 's', 1


@dataclasses.dataclass
class Login:
    user: str
    password: str


def jsons():
    for value in (None, True, 5, -2**53, 'x', '\u65e5 \0', 1.5, 1e300, ''):
        as_json(value, value)
    as_json(2**53 + 1, {'type': 'int', 'repr': str(2**53 + 1)})
    as_json(1 << 6000, {'type': 'int', 'bits': 6001, 'cut': True})
    as_json(math.nan, {'type': 'float', 'repr': 'nan'})
    as_json(1j, {'type': 'complex', 'repr': '1j'})
    as_json('\ud800', {'type': 'str', 'repr': "'\\ud800'", 'total': 1})
    as_json('abc', {'type': 'str', 'value': 'ab', 'total': 3, 'cut': True}, chars=2)
    as_json(b'a', {'type': 'bytes', 'repr': "b'a'", 'total': 1})
    as_json([1, (2,)], {'type': 'list', 'items': [1, {'type': 'tuple', 'items': [2], 'total': 1}], 'total': 2})
    as_json([1, 2], {'type': 'list', 'items': [1], 'total': 2, 'cut': True}, items=1)
    as_json({'a': 1}, {'type': 'dict', 'items': [['a', 1]], 'total': 1})
    as_json(MyStr('a'), {'type': '__main__.MyStr', 'value': 'a'})
    as_json(MyList(), {'type': '__main__.MyList', 'value': {'type': 'list', 'items': [], 'total': 0}})
    as_json(Attributes(), {'type': '__main__.Attributes', 'attrs': {'a': 1, 'b': 'two'}})
    as_json(Plain(), {'type': '__main__.Plain', 'attrs': {}})
    as_json(Plain(a=1, b=2), {'type': '__main__.Plain', 'attrs': {'a': 1}, 'total': 2, 'cut': True}, items=1)
    as_json(Point(1, 2), {'type': '__main__.Point', 'attrs': {'x': 1, 'y': 2}})
    as_json(ValueError('x', 2), {'type': 'ValueError', 'args': ['x', 2]})
    as_json(range(3), {'type': 'range', 'args': [0, 3]})
    as_json(Color.RED, {'type': '__main__.Color', 'name': 'RED', 'value': 1})
    as_json(outside, {'type': 'function', 'repr': '<function __main__.outside>'})
    as_json(int, {'type': 'type', 'repr': "<class 'int'>"})
    as_json([types.CellType(1)], {'type': 'list', 'items': [{'type': 'cell', 'value': 1}], 'total': 1})
    as_json(Plain(a=1).method, {'type': 'method', 'name': 'Plain.method', 'self': {'type': '__main__.Plain', 'attrs': {}, 'cut': True}})
    again = []
    again.append(again)
    as_json(again, {'type': 'list', 'items': [{'cut': True, 'again': True}], 'total': 1})


def show(value):
    pass


def call(kind):
    values = [(k[1], k[-1]) for k in keep if k[0] == kind and k[2:5] == (DEPTH, ITEMS, CHARS)]
    for value, text in values:
        sys.stdout.buffer.write(b'case ' + escape(text) + b'\n')
    write('ready')
    sys.stdout.flush()
    sys.stdin.read(1)
    for value, text in values:
        show(value)
        time.sleep(0.001)  # each may be as large as a record can be
    write('done')
    sys.stdout.flush()


def main():
    for group in (constants, ints, floats, strs, containers, instances, classes, errors, callables, others, secrets, jsons):
        group()
    if sys.argv[1:2] == ['calls']:
        call(sys.argv[2])
    else:
        for kind, value, depth, items, chars, text in keep:
            write(kind, str(id(value)), str(depth), str(items), str(chars), text)
        write('ready')
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == '__main__':
    main()
