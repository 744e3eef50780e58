"""lines_gen: makes random programs whose lines are entered and left in all ways that Python has. Used by lines.py."""


class Program:
    def __init__(self, rng, version):
        self.rng = rng
        self.version = version
        self.lines = []
        self.made = []
        self.counter = 0

    def put(self, depth, text):
        for i, line in enumerate(text.split('\n')):
            self.lines.append('    ' * depth + ('' if not i else '      ') + line)

    def pick(self, *choices):
        return self.rng.choice(choices)

    def name(self):
        return self.pick('a', 'b', 'c', 'd')

    def expression(self, deep=2):
        r = self.rng.random()
        nl = '\n' if self.rng.random() < 0.4 else ' '
        if deep <= 0 or r < 0.2:
            return self.pick(self.name(), str(self.rng.randint(0, 9)), 'coin()', 'boom(%s)' % self.name(), 'n', 'self.x')
        e = lambda: self.expression(deep - 1)  # noqa: E731
        if r < 0.3:
            return '(%s%sif coin()%selse %s)' % (e(), nl, nl, e())
        if r < 0.42:
            return '(%s%s%s %s%s)' % (e(), nl, self.pick('and', 'or'), e(), nl + self.pick('and ', 'or ') + e() if coin(self) else '')
        if r < 0.52:
            return 'len([%s,%s%s])' % (e(), nl, e())
        if r < 0.6:
            return 'boom(%s%s,%s9)' % (nl.strip(' '), e(), nl)
        if r < 0.66:
            return '[%s%sfor v in range(coin(4))%s]' % (self.pick('v', 'coin(v + 1)', 'boom(v, 30)', '[w for w in (v, v)]'), nl,
                                                        nl + 'if coin()' if coin(self) else '')
        if r < 0.7:
            return '{v: %s for v in%s(1, 2) for w in (v,%s3) if w}' % (self.pick('w', 'coin()'), nl, nl)
        if r < 0.74:
            return 'sum(v%sfor v in range(3)%s)' % (nl, nl + 'if v != coin(4)' if coin(self) else '')
        if r < 0.78:
            return '(lambda v:%sv + coin())(%s2)' % (nl, nl)
        if r < 0.82:
            return "f'{coin()} {boom(1, 30)!r}'"
        if r < 0.86:
            return '(q := %s)' % e()
        if r < 0.9:
            return '(0 < coin(3)%s< 2)' % nl
        if r < 0.93:
            return '(not%s%s)' % (nl, e())
        if r < 0.97:
            return 'Things(%s2%s)%s.n' % (nl, nl, '' if nl == ' ' else nl)
        return '{1:%s%s}[%s1]' % (nl, e(), nl)

    def simple(self):
        """A statement that stands on a line, or on some."""
        r = self.rng.random()
        if r < 0.3:
            return '%s = %s' % (self.name(), self.expression())
        if r < 0.38:
            return '%s += coin()' % self.pick('t', 'self.x')
        if r < 0.46:
            return '%s, %s = %s, %s' % (self.name(), self.name(), self.expression(1), self.expression(0))
        if r < 0.52:
            return 'pass'
        if r < 0.58:
            return 'n.append(%s)' % self.pick('1', 'coin()', '\ncoin()', 'boom(\n2)')
        if r < 0.64:
            return 'n[0] = %s' % self.expression(1)
        if r < 0.68:
            return 'assert coin(9),%s' % self.pick(" 'x'", " (\n'x')")
        if r < 0.72:
            return 'e1 = 1; del e1'
        if r < 0.76:
            return 'import os'
        if r < 0.8:
            return self.pick('1', "'text'", 'None')
        return self.expression()

    def statements(self, depth, deep, kind, loop):
        for _ in range(self.rng.randint(1, 3)):
            self.statement(depth, deep, kind, loop)

    def body(self, depth, deep, kind, loop):
        """What a colon is followed by: on its own lines or, now and then, on the same."""
        if self.rng.random() < 0.15:
            self.lines[-1] += ' ' + self.pick('pass', 't += 1', 'a = boom(3)', 'b = coin(); c = b', 'coin()' if not loop else 'continue')
        else:
            self.statements(depth + 1, deep - 1, kind, loop)

    def jump(self, depth, kind, loop):
        r = self.rng.random()
        if loop and r < 0.5:
            self.put(depth, self.pick('break', 'continue'))
        elif r < 0.65 and kind != 'async generator':
            self.put(depth, 'return %s' % self.pick('', 'None', 'a', '5', self.expression(1), '(a if coin()\nelse b)'))
        elif r < 0.85:
            self.put(depth, 'raise %s' % self.pick("ValueError('x')", "KeyError(\n'y')", "ValueError('x') from\\\nNone", 'ValueError'))
        else:
            self.put(depth, 'boom()')

    def suspend(self, depth, kind):
        if kind == 'generator':
            self.put(depth, self.pick('yield', 'yield a', 'b = yield coin()', 'c = (yield\n) or 2', 'a = [(yield 1),\n(yield 2)]',
                                      'yield from (1, 2)', 'd = yield from [\ncoin()]', 'yield from (v for v in range(coin(3)))',
                                      'yield (\na,\nboom(1))'))
        else:
            self.put(depth, self.pick('await Pause(2)', 'a = await Pause(coin(2))', 'b = (await Pause(1),\nawait Pause(1))',
                                      'c = [v async for v in Things(2)]', 'd = [v\nasync for v in Things(3)\nif coin()]',
                                      'b = [await Pause(v) for v in (0, 1)]'))

    def statement(self, depth, deep, kind, loop):
        r = self.rng.random()
        if deep <= 0 or r < 0.3:
            if kind != 'plain' and self.rng.random() < 0.3:
                self.suspend(depth, kind)
            elif self.rng.random() < 0.15:
                self.put(depth, '; '.join(self.pick('a = 1', 'b = coin()', 't += 1', 'boom(2)', 'pass') for _ in range(3)))
            else:
                self.put(depth, self.simple())
        elif r < 0.45:
            self.branch(depth, deep, kind, loop)
        elif r < 0.6:
            self.loop(depth, deep, kind)
        elif r < 0.78:
            self.attempt(depth, deep, kind, loop)
        elif r < 0.86:
            self.context(depth, deep, kind, loop)
        elif r < 0.91:
            self.put(depth, 'if coin(3) == 0:')
            self.jump(depth + 1, kind, loop)
        elif r < 0.95:
            self.choice(depth, deep, kind, loop)
        else:
            self.inner(depth, deep)

    def branch(self, depth, deep, kind, loop):
        if self.rng.random() < 0.3:
            self.put(depth, 'if %s: %s' % (self.pick('coin()', 'boom(1)', 'a and\\\nb'), self.pick('t += 1', 'a = coin()', 'boom(1)')))
            return
        self.put(depth, 'if %s:' % self.pick('coin()', self.expression(), '(coin()\nor boom(0)\nand t)', 'a if coin() else b'))
        self.body(depth, deep, kind, loop)
        if coin(self):
            self.put(depth, 'elif %s:' % self.pick('coin(3)', '(coin()\nand coin())', 'not boom(0)'))
            self.body(depth, deep, kind, loop)
        if coin(self):
            self.put(depth, 'else:')
            self.body(depth, deep, kind, loop)

    def loop(self, depth, deep, kind):
        r = self.rng.random()
        if r < 0.1:
            self.put(depth, 'k = coin(4)')
            self.put(depth, self.pick('while k: k -= 1', 'while k and boom(1): k -= 1', 'for v in range(k): t += v',
                                      'for v in n[:3]: boom(v)', 'while k > 0: k -= 1; t += k',
                                      'for v in range(3): continue', 'for v, w in ((1, 2), (3, 4)): a = v; b = w'))
            return
        if r < 0.4:
            k = 'k%d' % depth
            self.put(depth, '%s = coin(4)' % k)
            self.put(depth, 'while %s:' % self.pick(k, k + ' and\\\nboom(1, 9)', '(%s\nor False)' % k, 'True' if depth < 2 else k))
            self.put(depth + 1, self.pick('%s -= 1' % k, 'if coin(5) == 0: break') if self.lines[-1].strip() != 'while True:' else
                     'if coin(3) == 0: break')
            if self.lines[-1].strip() != '%s -= 1' % k:
                self.put(depth + 1, '%s = max(%s - 1, 0)' % (k, k))
        elif kind == 'async' and r < 0.55:
            self.put(depth, 'async for %s in Things(%s):' % (self.name(), self.pick('2', '\ncoin(3)')))
        else:
            self.put(depth, 'for %s in %s:' % (self.pick('a', 'b', 'v, w'), '((1, 2),\n(coin(), 4))') if 'v, w' in self.lines[-1:] else
                     'for %s in %s:' % (self.name(), self.pick('range(coin(4))', 'n[:3]', '(1,\n2, coin())', 'boom([1, 2])',
                                                               '(v for v in (1, 2))', 'range(\n3)')))
        self.statements(depth + 1, deep - 1, kind, True)
        if self.rng.random() < 0.3:
            self.put(depth, 'else:')
            self.body(depth, deep, kind, False)

    def attempt(self, depth, deep, kind, loop):
        self.put(depth, 'try:')
        self.body(depth, deep, kind, loop)
        handlers = self.rng.randint(0, 2)
        star = '*' if handlers and self.version >= (3, 11) and self.rng.random() < 0.15 else ''
        inner_loop = False if star else loop
        for i in range(handlers):
            caught = self.pick('ValueError', '(KeyError,\nZeroDivisionError)', 'KeyError', 'Exception')
            self.put(depth, 'except%s %s%s:' % (star, caught, ' as e' if coin(self) else ''))
            if star:
                self.put(depth + 1, self.pick('t += 1', 'a = coin()', 'boom(1)'))
                continue
            self.body(depth, deep, kind, inner_loop)
            if self.rng.random() < 0.2:
                self.put(depth + 1 if self.lines[-1].startswith('    ' * (depth + 1)) else depth, 'raise') \
                    if self.lines[-1].startswith('    ' * (depth + 1)) else None
        if handlers and not star and self.rng.random() < 0.2:
            self.put(depth, 'except:')
            self.body(depth, deep, kind, inner_loop)
        if handlers and coin(self):
            self.put(depth, 'else:')
            self.body(depth, deep, kind, loop)
        if not handlers or self.rng.random() < 0.4:
            self.put(depth, 'finally:')
            # break and continue are refused there in 3.8's first releases, and warned of later.
            self.body(depth, deep, kind, False)

    def context(self, depth, deep, kind, loop):
        word = 'async with' if kind == 'async' and coin(self) else 'with'
        what = self.pick('Context()', 'Context(True)', 'Context() as a', 'Context(\ncoin()) as b', 'Context() as a, Context(True) as b',
                         'Context(coin()) as a,\\\nContext() as b')
        if self.version >= (3, 10) and self.rng.random() < 0.2:
            what = '(\nContext() as a,\nContext(coin()) as b,\n)'
        self.put(depth, '%s %s:' % (word, what))
        self.body(depth, deep, kind, loop)

    def choice(self, depth, deep, kind, loop):
        if self.version < (3, 10):
            return self.branch(depth, deep, kind, loop)
        self.put(depth, 'match %s:' % self.pick('coin(4)', 'n', '(coin(),\ncoin())', "{'x': coin()}", 'self'))
        for case in ('0', '[1, b, *c]', '(0 |\n1) as d', "{'x': a}", 'Things(n=v)', 'int() if coin()'):
            if coin(self):
                self.put(depth + 1, 'case %s:' % case)
                self.body(depth + 1, deep, kind, loop)
        self.put(depth + 1, 'case _:')
        self.body(depth + 1, deep, kind, loop)

    def inner(self, depth, deep):
        self.counter += 1
        name = 'inner%d' % self.counter
        for _ in range(self.rng.randint(0, 2)):
            self.put(depth, self.pick('@(lambda f: f)', '@(lambda f:\nf)'))
        self.put(depth, 'def %s(x, y=coin(),%sz=2):' % (name, self.pick(' ', '\n')))
        self.put(depth + 1, self.pick('nonlocal t', 'pass'))
        self.statement(depth + 1, 0, 'plain', False) if self.lines[-1].strip() == 'pass' else self.put(depth + 1, 't = t + coin()')
        self.put(depth, '%s(%s)' % (name, self.pick('1', '\n1', 'boom(1),\n2')))

    def function(self, kind):
        self.counter += 1
        name = 'f%d' % self.counter
        if self.rng.random() < 0.15:
            return self.small(name)
        self.made.append((name, kind))
        self.put(0, '%sdef %s(self, n):' % ('async ' if kind == 'async' else '', name))
        if self.rng.random() < 0.85:
            self.put(1, 'a = b = c = d = t = q = v = w = 0; self = Things(); self.x = 1')
        else:
            self.put(1, 'for t in range(3):')
            self.put(2, 'a = b = c = d = q = v = w = t')
            self.put(2, 'self = Things()')
            self.put(2, 'self.x = coin()')
        if self.rng.random() < 0.1:
            # So long that arguments need prefixes.
            for i in range(300):
                self.put(1, 'x%d = %d' % (i, i + 1000))
        if kind == 'generator':
            self.put(1, 'yield 0')
        for _ in range(self.rng.randint(1, 4)):
            self.statement(1, 3, kind, False)
        if coin(self):
            self.put(1, self.pick('return a', 'return', 'return [a,\nb]'))

    def small(self, name):
        """Functions of which the first line is all, or is in a loop."""
        self.made.append((name, 'plain'))
        self.put(0, self.pick('def %s(a, n): return boom(a)', '%s = lambda a, n: boom(a, 3) if coin() else n',
                              'def %s(a, n):\n while a: a -= 1; boom(a)', 'def %s(a, n):\n for a in n:\n  boom(a)\n  coin()',
                              'def %s(a, n):\n while True:\n  if coin(4) == 0: break\n  boom(a)',
                              'def %s(a, n):\n try:\n  boom(a, 3)\n finally: coin()',
                              'def %s(a, n): return [v for v in n if boom(v)]',
                              'def %s(a, n): return lambda: boom(\n a)') % name)
        if 'lambda: boom' in ''.join(self.lines[-2:]):
            self.put(0, '%s_inner = %s\n' % (name, name))
            self.lines.pop()
            self.put(0, 'def %s(a, n): return %s_inner(a, n)()' % (name, name))


def coin(program):
    return program.rng.random() < 0.5


def program(rng, version):
    while True:
        p = Program(rng, version)
        for _ in range(3):
            p.function(p.pick('plain', 'plain', 'generator', 'async'))
        p.put(0, 'ALL = %r' % p.made)
        source = '\n'.join(p.lines) + '\n'
        try:
            compile(source, '<try>', 'exec')
            return source
        except SyntaxError:  # what this version does not allow, or no block has
            continue
