"""compiler: makes the blob (agent/blob.h) of a patch: from a source file and from what the agent says of the functions that it
changes. One script for Python 3.8 to 3.15, run by pylu-cli in a child of the target's own interpreter (userspace/compile.c),
or in the target where no child can be started. It decides nothing about the target: it sees no object of it.

serve(request) -> answer, both bytes: a header of two little-endian u32, the lengths of a JSON text and of data behind it.

A request's JSON: mode ('redefine' or 'patch'), path, source (length), count, force, originals; with redefine target and name
(or null); when it is known resolved: {target: the answer to RESOLVE, named as in proto.h}, and files: [[path, length], ...].
Its data: the source, and the texts of the files that the originals are in.
An answer's: {resolve: [targets]}: ask again with these resolved. Or {ok: true, summary: ...}, its data is the blob. Or
{error: a sentence, code: source|refused|internal, traceback: text or null}.

Nothing is imported that can be done without: what json, ast and dis bring along takes longer than the rest of the work.
"""
import marshal
import sys

import _ast

FORMAT = 1
MARK = '\0pylu:'
SOURCE_MAX = 4 << 20
CHANGES_MAX = 4096
ORIGINAL_MAX, ORIGINALS_MAX = 128 << 10, 4 << 20  # characters
NEW = '_pylu_new'  # names of our own in what is compiled; one underscore: they are never mangled
SCOPE = '_______'  # a class around the dummy class of a method, so that the dummy's name is not seen inside it
ONLY_AST = 0x400
GENERATOR, COROUTINE, ITERABLE_COROUTINE, ASYNC_GENERATOR = 0x20, 0x80, 0x100, 0x200
KINDS = GENERATOR | COROUTINE | ASYNC_GENERATOR
VARARGS, VARKEYWORDS, NESTED, METHOD = 0x4, 0x8, 0x10, 0x8000000
DEFS = (_ast.FunctionDef, _ast.AsyncFunctionDef)
COMPREHENSIONS = (_ast.ListComp, _ast.SetComp, _ast.DictComp, _ast.GeneratorExp)
CodeType = type((lambda: 0).__code__)


class Refused(Exception):
    """What the user is told: a sentence, and the text that Python has for it."""

    def __init__(self, text, code='refused', traceback=None):
        Exception.__init__(self, text)
        self.code, self.traceback = code, traceback


# JSON. What is read comes from pylu-cli's JSON library, quoted properly, and is then a Python expression too.

def from_json(text):
    return eval(text, {'__builtins__': {}, 'true': True, 'false': False, 'null': None})


def to_json(value):
    if value is None or value is True or value is False:
        return {None: 'null', True: 'true', False: 'false'}[value]
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return '"%s"' % ''.join(map(json_character, value))
    if isinstance(value, dict):
        return '{%s}' % ','.join('%s:%s' % (to_json(k), to_json(v)) for k, v in value.items())
    return '[%s]' % ','.join(map(to_json, value))


def json_character(c):
    n = ord(c)
    if c in '"\\':
        return '\\' + c
    if 32 <= n < 127:
        return c
    if n == 0 or 0xd800 <= n < 0xe000:  # neither is a text for pylu-cli
        n = 0xfffd
    if n >= 0x10000:
        n -= 0x10000
        return '\\u%04x\\u%04x' % (0xd800 + (n >> 10), 0xdc00 + (n & 0x3ff))
    return '\\u%04x' % n


# The source's text.

def declared_encoding(data):
    """The encoding that the first two lines declare as PEP 263 has it, or None."""
    for line in data[:1000].split(b'\n')[:2]:
        line = line.strip(b' \t\f\r')
        at = line.find(b'coding')
        if line.startswith(b'#') and at >= 0 and line[at + 6:at + 7] in (b':', b'='):
            name = line[at + 7:].lstrip(b' \t').decode('latin-1')
            end = 0
            while end < len(name) and (name[end].isalnum() or name[end] in '-_.'):
                end += 1
            if end:
                return name[:end]
        if line and not line.startswith(b'#'):
            break
    return None


def decode(data, path):
    if data.startswith(b'\xef\xbb\xbf'):
        data = data[3:]
    encoding = declared_encoding(data) or 'utf-8'
    try:
        text = data.decode(encoding)
    except LookupError:
        raise Refused("%s declares the encoding '%s', which Python does not have" % (path, encoding), 'source')
    except UnicodeError as error:
        line = data.count(b'\n', 0, getattr(error, 'start', 0)) + 1
        raise Refused('%s is not %s: line %d has a byte that does not belong there%s' % (
            path, encoding.upper(), line, '' if declared_encoding(data) else ' (and no encoding is declared)'), 'source')
    return text.replace('\r\n', '\n').replace('\r', '\n')


class Hush:
    """A filter of warnings, before all others, that takes those of this thread. In the target other threads go on meanwhile, and
    may copy or restore the list of filters: so it is not replaced, and what is left of us there matches nothing."""

    def __enter__(self):
        import warnings
        import _thread
        self.ident = _thread.get_ident
        self.thread, self.caught = self.ident(), []
        self.item = ('ignore', self, Warning, None, 0)
        warnings.filters.insert(0, self.item)
        return self.caught

    def match(self, text):
        if self.ident() != self.thread:
            return False
        self.caught.append(text)
        return True

    def __exit__(self, *error):
        import warnings
        self.thread = None
        if self.item in warnings.filters:
            warnings.filters.remove(self.item)


def read_source(data, path):
    """(text, tree, notes)"""
    if len(data) > SOURCE_MAX:
        raise Refused('%s is too large: it has %d bytes, and a patch may have %d' % (path, len(data), SOURCE_MAX), 'source')
    if not data.strip():
        raise Refused('%s is empty' % path, 'source')
    if b'\0' in data:
        raise Refused('%s is no Python source: line %d has a null byte' % (path, data.count(b'\n', 0, data.index(b'\0')) + 1),
                      'source')
    text = decode(data, path)
    try:
        with Hush() as caught:
            # The whole way once: some errors are found only behind the parser.
            compile(text, path, 'exec', 0, True)
            tree = compile(text, path, 'exec', ONLY_AST, True)
    except SyntaxError as error:
        import traceback
        said = ''.join(traceback.format_exception_only(type(error), error))
        raise Refused('%s has a syntax error in line %s: %s' % (path, error.lineno, error.msg), 'source', said)
    except (ValueError, RecursionError, MemoryError, OverflowError) as error:
        raise Refused('%s cannot be compiled: %s: %s' % (path, type(error).__name__, error), 'source')
    return text, tree, ['Python warns of %s: %s' % (path, said) for said in sorted(set(caught))]


# Trees.

def children(node):
    for field in node._fields:
        value = getattr(node, field, None)
        if isinstance(value, _ast.AST):
            yield value
        elif isinstance(value, list):
            for item in value:
                if isinstance(item, _ast.AST):
                    yield item


def walk(*nodes):
    stack = list(nodes)
    while stack:
        node = stack.pop()
        yield node
        stack.extend(children(node))


def walk_scope(nodes):
    """What these nodes hold and is not in a scope of its own: of a function its name, defaults and so on."""
    stack = list(nodes)
    while stack:
        node = stack.pop()
        yield node
        if isinstance(node, DEFS + (_ast.Lambda,)):
            stack.extend(outside(node))
        elif isinstance(node, _ast.ClassDef):
            stack.extend(node.decorator_list + node.bases + node.keywords)
        elif isinstance(node, COMPREHENSIONS):
            stack.extend(n.target for n in walk(node) if isinstance(n, _ast.NamedExpr))
        else:
            stack.extend(children(node))


def outside(function, annotations=True):
    """What of a function is evaluated where it is defined."""
    args = function.args
    found = list(args.defaults) + [d for d in args.kw_defaults if d]
    if isinstance(function, DEFS):
        found += function.decorator_list + list(getattr(function, 'type_params', ()))
        if annotations:
            found += [a.annotation for a in parameters(args) if a.annotation] + [function.returns] * bool(function.returns)
    return found


def parameters(args):
    return (args.posonlyargs + args.args + [args.vararg] * bool(args.vararg) + args.kwonlyargs
            + [args.kwarg] * bool(args.kwarg))


def names_bound(node):
    """The names that this very node binds or declares."""
    if isinstance(node, _ast.Name):
        return [] if isinstance(node.ctx, _ast.Load) else [node.id]
    if isinstance(node, _ast.arg):
        return [node.arg]
    if isinstance(node, _ast.alias):
        return [node.asname or node.name.split('.')[0]]
    if isinstance(node, (_ast.Global, _ast.Nonlocal)):
        return node.names
    if isinstance(node, DEFS + (_ast.ClassDef, _ast.ExceptHandler)) or type(node).__name__ in (
            'MatchAs', 'MatchStar', 'TypeVar', 'ParamSpec', 'TypeVarTuple'):
        return [node.name] if node.name else []
    if type(node).__name__ == 'MatchMapping':
        return [node.rest] if node.rest else []
    return []


def mangled(name, cls):
    cls = (cls or '').lstrip('_')
    return '_%s%s' % (cls, name) if cls and name.startswith('__') and not name.endswith('__') and '.' not in name else name


def names_used(nodes, cls):
    """{name as it is looked up} that these load, in whatever scope."""
    found = set()
    stack = [(node, cls) for node in nodes]
    while stack:
        node, inside = stack.pop()
        if isinstance(node, _ast.Name):
            if isinstance(node.ctx, _ast.Load):
                found.add(mangled(node.id, inside))
        elif isinstance(node, _ast.ClassDef):
            stack.extend((n, node.name) for n in node.body)
            stack.extend((n, inside) for n in node.decorator_list + node.bases + node.keywords)
        else:
            stack.extend((n, inside) for n in children(node))
    return found


class Placeholders:
    """Puts a constant of its own in place of each use of a name."""

    def __init__(self, names, future_annotations):
        self.names, self.future_annotations, self.put = names, future_annotations, []
        self.kept = set()  # of the names, those of which a use can be no constant

    def visit(self, node, cls, truth):
        for field in node._fields:
            if self.future_annotations and field in ('annotation', 'returns'):
                continue  # becomes a text
            value = getattr(node, field, None)
            inside = node.name if isinstance(node, _ast.ClassDef) and field == 'body' else cls
            # Where the compiler, knowing a constant, would leave out what depends on whether it is true.
            asked = (field in ('test', 'ifs', 'guard') or isinstance(node, _ast.BoolOp) or
                     isinstance(node, _ast.UnaryOp) and isinstance(node.op, _ast.Not) or
                     truth and isinstance(node, (_ast.IfExp, _ast.NamedExpr)))
            if isinstance(value, _ast.AST):
                setattr(node, field, self.one(value, inside, field == 'cls', asked))
            elif isinstance(value, list):
                value[:] = [self.one(v, inside, False, asked) if isinstance(v, _ast.AST) else v for v in value]

    def one(self, node, cls, pattern=False, truth=False):
        if not isinstance(node, _ast.Name):
            if pattern:  # case NAME.x(): must remain names
                self.kept |= names_used([node], cls) & self.names
                return node
            self.visit(node, cls, truth)
            return node
        name = mangled(node.id, cls)
        if name not in self.names or not isinstance(node.ctx, _ast.Load):
            return node
        if pattern:
            self.kept.add(name)
            return node
        self.put.append('%sname:%s:%d' % (MARK, name, len(self.put)))
        hole = placed(_ast.Constant(value=self.put[-1], kind=None), node)
        if truth:
            hidden = statements('[0][0]', node)[0].value
            hidden.value.elts[0] = hole
            return hidden
        return hole


def placed(node, like):
    for n in walk(node):
        if 'lineno' in n._attributes:
            n.lineno, n.col_offset, n.end_lineno, n.end_col_offset = (
                like.lineno, like.col_offset, like.end_lineno, like.end_col_offset)
    return node


def statements(text, like):
    """Statements of our own, at the place of one of the source's."""
    return [placed(node, like) for node in compile(text, '<pylu>', 'exec', ONLY_AST, True).body]


def copied(node):
    """The tree once more: compiling may change it, and so do we."""
    parts = {name: getattr(node, name) for name in node._fields + node._attributes if hasattr(node, name)}
    for name, value in parts.items():
        if isinstance(value, _ast.AST):
            parts[name] = copied(value)
        elif isinstance(value, list):
            parts[name] = [copied(v) if isinstance(v, _ast.AST) else v for v in value]
    return type(node)(**parts)


def string(node):
    return node.value if isinstance(node, _ast.Constant) and isinstance(node.value, str) else None


def is_docstring(node):
    return isinstance(node, _ast.Expr) and string(node.value) is not None


# Code objects.

def codes(code):
    """The code objects inside this one, each before those inside it."""
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield constant
            for inner in codes(constant):
                yield inner


def renamed(code, renames, names=None, found=None):
    """`code` with names as if it had been compiled in its place: `renames` are pairs: how a qualified name begins, and how it is
    to begin. `names` is {co_name: (the right one, what makes the right co_flags or None)}; the code objects that had these names
    are left in `found`, by the name that they had."""
    def new(text):
        for old, right in renames:
            if text == '<generic parameters of %s>' % old.rpartition('.')[2]:
                return text.replace(old.rpartition('.')[2], right.rpartition('.')[2])
            if text.startswith(old):
                return right + text[len(old):]
        return text
    more = {'co_name': new(code.co_name)}
    if names and code.co_name in names:
        more['co_name'], flags = names[code.co_name]
        if flags:
            more['co_flags'] = flags(code.co_flags)
    if hasattr(code, 'co_qualname'):
        more['co_qualname'] = new(code.co_qualname)
    more['co_consts'] = tuple(renamed(c, renames, names, found) if isinstance(c, CodeType) else
                              new(c) if isinstance(c, str) and not c.startswith(MARK) else c for c in code.co_consts)
    right = code.replace(**more)
    if found is not None and code.co_name in (names or ()):
        found[code.co_name] = right
    return right


def loaded(code, into):
    """Adds how often each str constant is loaded here and in the code objects inside."""
    import opcode
    argument = 0
    raw = code.co_code
    for at in range(0, len(raw), 2):
        op = raw[at]
        argument = argument << 8 | raw[at + 1]
        if op == opcode.EXTENDED_ARG:
            continue
        if op in opcode.hasconst and argument < len(code.co_consts) and isinstance(code.co_consts[argument], str):
            into[code.co_consts[argument]] = into.get(code.co_consts[argument], 0) + 1
        argument = 0
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            loaded(constant, into)
    return into


# What changes.

class Change:
    def __init__(self, kind, target, name=None, node=None, decorators=()):
        self.kind, self.target, self.name, self.node = kind, target, name, node
        self.decorators = list(decorators)  # other than ours
        self.notes = []
        self.resolved = self.module = self.qualname = self.code = self.maker = self.gate = self.original = None
        self.args, self.free, self.cls, self.owner = (), (), None, None
        self.in_body, self.named = False, True  # named: the file's top level knows it by its name
        self.line, self.last_line = (node.lineno, node.end_lineno) if node else (0, 0)
        self.trampoline, self.signature, self.need = None, {}, ()

    def resolve(self, answer):
        self.resolved = answer
        self.target = answer['target']
        self.module = answer['module']
        self.qualname = answer['qualname'].split('@')[0]
        container, _, self.last = self.qualname.rpartition('.')
        if self.kind == 'redefine':
            if 'code_id' not in answer:
                raise Refused('%s is no function: %s' % (self.target, '; '.join(
                    [article(answer.get('kind', 'absent'))] + list(answer.get('notes', ())))))
            self.free = tuple(answer.get('free', ()))
            self.cls = answer.get('class') or None
        else:
            self.cls = container.rpartition('.')[2] or None
            if self.cls and mangled(self.last, self.cls) != self.last:
                self.last = mangled(self.last, self.cls)
                self.qualname = '%s.%s' % (container, self.last)
                self.target = self.target[:self.target.rindex('.') + 1] + self.last
        self.owner = container if container and '<' not in container else None

    def same_place(self):
        """Whether the file's name for it is what the function is called in its module."""
        return self.qualname == self.name


def article(kind):
    return {'absent': 'there is nothing of that name', 'value': 'it is a value', 'class': 'it is a class',
            'module': 'it is a module'}.get(kind, 'it is of kind %s' % kind)


class Source:
    """A source file, taken apart."""

    def __init__(self, request, data):
        self.path = request['path']
        self.text, self.tree, self.notes = read_source(data, self.path)
        self.filename = '%s@%s' % (self.path, sha256(data)[:8])
        self.flags = 0
        self.changes = []
        self.body = []  # what is left
        self.force, self.count, self.optimize = request.get('force'), request.get('count'), -1
        for node in self.tree.body:
            self.body += self.left(node)
        for node in walk_scope(self.body):
            if isinstance(node, _ast.ImportFrom) and node.names[0].name == '*':
                raise Refused("%s:%d: 'from %s import *' cannot be in a patch: name what it needs" % (
                    self.path, node.lineno, node.module), 'source')

    def left(self, node):
        """The node, or what stays of it."""
        if isinstance(node, _ast.ImportFrom) and node.module == '__future__' and not node.level:
            import __future__
            for alias in node.names:
                self.flags |= getattr(__future__, alias.name).compiler_flag
            return []
        if isinstance(node, _ast.If) and isinstance(node.test, _ast.Compare) and len(node.test.ops) == 1 and isinstance(
                node.test.ops[0], _ast.Eq):
            sides = [node.test.left, node.test.comparators[0]]
            if any(string(s) == '__main__' for s in sides) and any(isinstance(s, _ast.Name) and s.id == '__name__' for s in sides):
                self.notes.append("line %d: the block under 'if __name__ == \"__main__\"' is left out" % node.lineno)
                return node.orelse
        return [node]

    def compile(self, body):
        # Optimised as the target is, and without a word on our constants, which will be no texts.
        with Hush():
            return compile(_ast.Module(body=body, type_ignores=[]), self.filename, 'exec', self.flags, True, self.optimize)

    @property
    def future_annotations(self):
        import __future__
        return bool(self.flags & __future__.annotations.compiler_flag)

    # One function of an ordinary file.

    def find_one(self, target, name):
        named = name is not None
        path = target.split('@')[0].split('.')
        tries = [name] if named else ['.'.join(path[n:]) for n in range(len(path) - 1, 0, -1) if '<locals>' not in path[n:]]
        there = self.functions(self.body, '')
        found = [t for t in tries if t in there]
        if not found and not named and len(there) == 1:
            found = list(there)
        if not found:
            raise Refused("there is no function '%s' in %s; %s" % (tries[0], self.path, (
                'there is ' + ', '.join("'%s'" % t for t in there) if there else 'there is none at all')), 'source')
        node, top = there[found[0]]
        if isinstance(node, _ast.ClassDef):
            raise Refused("'%s' in %s is a class: only functions can be redefined" % (found[0], self.path), 'source')
        if found[0] != tries[0] and not named:
            self.notes.append("the new function is '%s' of %s" % (found[0], self.path))
        if top is not node and isinstance(top, _ast.ClassDef):
            self.notes.append("the class '%s' around it is left out: its name means the target's" % top.name)
        self.body = [n for n in self.body if n is not top and not (isinstance(n, DEFS) and n.name == found[0])]
        if not isinstance(node, DEFS):
            node = self.from_lambda(node)
        self.changes = [Change('redefine', target, found[0].rpartition('.')[2], node, node.decorator_list)]
        self.changes[0].named = '.' not in found[0]

    def functions(self, body, prefix, top=None):
        """{name: (node, statement at top level)} of the functions and classes here; a later one counts."""
        there = {}
        for node in body:
            if isinstance(node, DEFS):
                there[prefix + node.name] = (node, top or node)
            elif isinstance(node, _ast.ClassDef):
                inner = self.functions(node.body, prefix + node.name + '.', top or node)
                if not prefix and not inner:
                    there[node.name] = (node, node)
                there.update(inner)
            elif (isinstance(node, _ast.Assign) and isinstance(node.value, _ast.Lambda) and len(node.targets) == 1
                    and isinstance(node.targets[0], _ast.Name)):
                there[prefix + node.targets[0].id] = (node, top or node)
        return there

    @staticmethod
    def from_lambda(node):
        function = statements('def %s(): return 0' % node.targets[0].id, node)[0]
        function.args = node.value.args
        function.body = statements('return 0', node.value.body)
        function.body[0].value = node.value.body
        return function

    # A patch file.

    def find_all(self):
        verbs, rest = {}, []
        for node in self.body:
            if isinstance(node, _ast.ImportFrom) and node.module == 'pylu' and not node.level:
                for alias in node.names:
                    if alias.name not in ('redefine', 'add', 'set_value'):
                        raise Refused("%s:%d: there is no '%s' for patch files: redefine, add and set_value" % (
                            self.path, node.lineno, alias.name), 'source')
                    verbs[alias.asname or alias.name] = alias.name
                continue
            change = self.from_definition(node, verbs) if isinstance(node, DEFS + (_ast.ClassDef,)) else None
            if change:
                self.changes.append(change)
                rest.append(change)
            elif isinstance(node, _ast.Expr) and self.verb(node.value, verbs):
                rest += self.from_call(node.value, self.verb(node.value, verbs))
            else:
                rest.append(node)
        self.body = rest
        for node in walk(*[n.node if isinstance(n, Change) else n for n in rest]):
            if isinstance(node, _ast.Name) and node.id in verbs and isinstance(node.ctx, _ast.Load):
                raise Refused('%s:%d: %s(...) has to stand at the top level of a patch file' % (
                    self.path, node.lineno, node.id), 'source')
        if not self.changes:
            raise Refused("%s changes nothing: a patch file has functions under @redefine('module.function') or @add('module'), "
                          "or calls of add and set_value, and the line 'from pylu import redefine, add, set_value'" % self.path,
                          'source')
        if len(self.changes) > CHANGES_MAX:
            raise Refused('%s has %d changes; a patch may have %d' % (self.path, len(self.changes), CHANGES_MAX), 'source')

    @staticmethod
    def verb(node, verbs):
        return verbs.get(node.func.id) if isinstance(node, _ast.Call) and isinstance(node.func, _ast.Name) else None

    def where(self, call, verb):
        text = string(call.args[0]) if len(call.args) == 1 else None
        if not text:
            raise Refused("%s:%d: %s takes one name in quotes, as 'module.name'" % (self.path, call.lineno, verb), 'source')
        return text

    def from_definition(self, node, verbs):
        ours = [(d, self.verb(d, verbs)) for d in node.decorator_list if self.verb(d, verbs)]
        if not ours:
            return None
        call, verb = ours[0]
        if len(ours) > 1 or verb == 'set_value' or call.keywords:
            raise Refused("%s:%d: '%s' has to have one decorator of redefine or add, with one name in quotes" % (
                self.path, call.lineno, node.name), 'source')
        if verb == 'redefine' and not isinstance(node, DEFS):
            raise Refused("%s:%d: '%s' is a class: only functions can be redefined" % (self.path, node.lineno, node.name), 'source')
        others = [d for d in node.decorator_list if d is not call]
        node.decorator_list = others
        target = self.where(call, verb)
        return Change(verb, target if verb == 'redefine' else '%s.%s' % (target, node.name), node.name, node, others)

    def from_call(self, call, verb):
        """One change for each keyword, and the assignments that take the call's place in the body."""
        if verb == 'redefine':
            raise Refused("%s:%d: redefine is written above a function, as its decorator" % (self.path, call.lineno), 'source')
        target = self.where(call, verb)
        if not call.keywords or any(k.arg is None for k in call.keywords):
            raise Refused("%s:%d: %s takes the values as NAME=value" % (self.path, call.lineno, verb), 'source')
        left = []
        for keyword in call.keywords:
            change = Change('set' if verb == 'set_value' else 'add', '%s.%s' % (target, keyword.arg))
            change.name = '_pylu_value_%d' % len(self.changes)
            change.in_body = True
            change.line, change.last_line = call.lineno, call.end_lineno
            self.changes.append(change)
            assign = statements('%s = 0' % change.name, call)[0]
            assign.value = keyword.value
            left.append(assign)
        return left

    # All together.

    def resolve(self, resolved):
        seen = set()
        for change in self.changes:
            change.resolve(resolved[change.target])
            if change.target in seen:
                raise Refused('%s is changed twice in %s' % (change.target, self.path), 'source')
            seen.add(change.target)
            there = change.resolved.get('kind', 'absent') != 'absent'
            if change.kind == 'add' and there and not self.force:
                raise Refused('%s is there already: set_value changes a value, redefine a function' % change.target)
            if change.kind == 'set' and not there and not self.force:
                raise Refused('%s is not there: add puts it there' % change.target)
        self.home = self.changes[0].module
        self.optimize = self.changes[0].resolved.get('optimize', -1)
        left = []
        for node in self.body:
            if not isinstance(node, Change):
                left.append(node)
            elif node.kind == 'add' and node.module == self.home and not node.owner:
                node.in_body = True
                left.append(node.node)
        self.body = left
        self.bound = {name for node in walk_scope(left) for name in names_bound(node)}
        self.own = {}
        for index, change in enumerate(self.changes):
            if change.kind == 'redefine' and change.named and (
                    change.module != self.home or not change.same_place() or change.name in self.bound):
                self.own[change.name] = index
        self.check_names()

    def check_names(self):
        """What would mean something else in a function than at a file's top level."""
        for node in walk(*(self.body + [c.node for c in self.changes if c.node])):
            if isinstance(node, _ast.ClassDef):
                bound, before = {n for each in walk_scope(node.body) for n in names_bound(each)}, set()
                for statement in node.body:
                    scope = list(walk_scope([statement]))
                    for name in sorted({n.id for n in scope if isinstance(n, _ast.Name) and isinstance(n.ctx, _ast.Load)}):
                        if name in bound & self.bound and name not in before:
                            raise Refused("%s:%d: in the class '%s', '%s' is first the one of %s and then the class's own: give one of "
                                          'them another name' % (self.path, statement.lineno, node.name, name, self.path), 'source')
                    before.update(n for each in scope for n in names_bound(each))
            elif isinstance(node, _ast.Global):
                for name in node.names:
                    if name in self.bound:
                        raise Refused("%s:%d: 'global %s' would mean the target module's, and %s has a '%s' of its own: keep it in an "
                                      'object, or put it into the module with add' % (self.path, node.lineno, name, self.path, name),
                                      'source')

    def visible(self, change):
        """The names of the body that the function of a change may use."""
        names = set(self.bound)
        for name, index in self.own.items():
            other = self.changes[index]
            if name != other.last or (other.same_place() and other.module != change.module):
                names.add(name)
        return names

    def blob(self):
        need = {name for change in self.changes for name in change.need}
        changes = tuple(dict(kind=c.kind, target=c.target, code_id=c.resolved.get('code_id', 0) if c.kind == 'redefine' else 0,
                             free=c.free, maker=c.maker, args=tuple(c.args), gate=c.gate,
                             trampoline=c.trampoline, original=c.original, line=c.line,
                             last_line=c.last_line, notes=tuple(c.notes)) for c in self.changes)
        return dict(format=FORMAT, file=self.filename, source=self.text, home=self.home, body=self.make_body(sorted(need)),
                    own=tuple(self.own.items()), changes=changes)

    def make_body(self, need):
        left = [node for node in self.body if not is_docstring(node)]
        if not left and not need:
            return None
        import builtins
        # At a module's top level a name is the builtin until it is bound; in a function it is not.
        used = names_used(list(walk_scope(left)), None)
        hidden = sorted(n for n in self.bound & used if hasattr(builtins, n) and n not in self.own)
        like = left[-1] if left else self.changes[0].node
        function = statements('def __pylu_body(%s): return {%s}' % (
            ', '.join(list(self.own) + ['%s=%s' % (n, n) for n in hidden]), ', '.join('%r: %s' % (n, n) for n in need)), like)[0]
        function.body[:0] = left
        code = self.compile([function])
        return renamed(code, [('__pylu_body.<locals>.', '')], {'__pylu_body': ('<module>', None)})


class Maker:
    """Makes the maker of a change (agent/blob.h), its gate and its trampoline."""

    def __init__(self, source, change):
        self.source, self.change = source, change
        self.owner = change.owner if change.cls else None  # how the target's module names the class

    def run(self):
        change = self.change
        if change.in_body:
            change.args = change.need = [change.name]
            change.maker = self.source.compile(statements('def __pylu_make(%s):\n%s return %s' % (
                change.name, self.set_name(change.name) if self.owner else '', change.name), change.node or self.source.tree.body[-1]))
        elif change.kind == 'add':
            self.add()
        else:
            self.redefine()

    # The scaffolding.

    def nest(self, nodes, args=(), cell=False, before=(), set_name=''):
        """A module that binds __pylu_make: `nodes`, which bind NEW, where there are a function's free variables and class. With
        `cell`, __class__ is the real class."""
        change = self.change
        own = '%s, _pylu_cell' % NEW if cell else NEW
        text = 'def __pylu_make(%s):\n' % ', '.join(args)
        text += ''.join(' %s = None\n' % name for name in change.free if name != '__class__' or not change.cls)
        if cell or before:
            text += (' _pylu_class = %s\n for _pylu_base in getattr(_pylu_class, "__mro__", ()):\n'
                     '  if %r in _pylu_base.__dict__:\n   _pylu_class = _pylu_base\n   break\n' % (self.owner, change.last))
        text += ' %s = None\n' % own.replace(',', ' =')
        if change.cls:
            text += ' class %s:\n  nonlocal %s\n  class %s:\n   nonlocal %s\n' % (SCOPE, own, change.cls, own)
        else:
            text += ' if 1: pass\n'
        if cell:
            text += ' _pylu_cell.__closure__[0].cell_contents = _pylu_class\n'
        module = statements(text + set_name + ' return %s' % NEW, nodes[0])
        inner = [n for n in module[0].body if isinstance(n, (_ast.ClassDef, _ast.If))][0]
        inner = inner.body[-1] if change.cls else inner
        inner.body += list(before) + list(nodes)
        if cell:
            inner.body += statements('def _pylu_cell(): return __class__', nodes[0])
        return module

    def prefix(self):
        return '__pylu_make.<locals>.' + ('%s.%s.' % (SCOPE, self.change.cls) if self.change.cls else '')

    def set_name(self, value):
        return ' if hasattr(%s, "__set_name__"):\n  %s.__set_name__(%s, %r)\n' % (value, value, self.owner, self.change.last)

    def class_names(self, nodes, args):
        """In the dummy class, what of the real one defaults and annotations use: as where the function was written."""
        names = sorted(names_used(nodes, None) - set(args) - set(self.change.free)) if self.owner else []
        return [s for n in names for s in statements('if {1!r} in _pylu_class.__dict__: {0} = _pylu_class.__dict__[{1!r}]'.format(
            n, mangled(n, self.change.cls)), self.change.node)]

    # A new function or class in another module than the body's, or in a class.

    def add(self):
        change, node = self.change, copied(self.change.node)
        change.args = change.need = sorted(names_used([node], change.cls) & self.source.visible(change))
        function = isinstance(node, DEFS)
        before, name, nodes, names = [], node.name, [node], None
        if function:
            before = self.class_names(outside(node), change.args)
            node.name, names = NEW, {NEW: (name, lambda flags: flags & ~NESTED)}
        else:
            nodes += statements('%s = %s' % (NEW, name), node)
        module = self.nest(nodes, change.args, bool(function and self.owner), before, self.set_name(NEW) if self.owner else '')
        change.maker = renamed(self.source.compile(module), [(self.prefix() + node.name, change.qualname)], names)

    # A new function in place of another.

    def redefine(self):
        change, source = self.change, self.source
        around = [n for n in outside(change.node, not source.future_annotations) if n not in change.decorators]
        visible = source.visible(change)
        self.check_around(around, visible)
        available = visible - set(change.free)
        used = names_used(change.node.body, change.cls) & available
        args = names_used(around, change.cls) & available
        bound = {mangled(n, change.cls) for inner in walk(change.node) if inner is not change.node for n in names_bound(inner)}
        state = (used & bound, (), ())
        for _ in range(8):  # until what cannot be a constant is a cell, and all cells are right
            cells, missing, gained = before = state
            code, holes, kept = self.compile_new(args | cells, used - bound - cells, around, missing, gained)
            there = loaded(code, {}) if holes else {}
            spoiled = kept | {h.split(':')[2] for h in holes if h not in there}  # folded into another constant, or left out
            free = set(code.co_freevars)
            state = (cells & free | spoiled, tuple(n for n in change.free if n in missing or n not in free),
                     tuple(n for n in code.co_freevars if n not in change.free))
            if state == before:
                break
        change.args = sorted(args | cells)
        change.need = sorted(args | cells | {h.split(':')[2] for h in holes})
        self.check_new(code, gained, [n for n in change.free if n not in free])
        change.gate = self.stub('return %r(*_pylu_a, **_pylu_k)' % (MARK + 'gate'), '*_pylu_a, **_pylu_k',
                                change.resolved.get('flags', 0))

    def check_around(self, around, visible):
        """Defaults are evaluated anew, and not inside the function that the original was made in."""
        change, path = self.change, self.source.path
        if change.decorators:
            change.notes.append('decorators of the new function are left out, those of the original stay (line %s)' % (
                ', '.join(str(d.lineno) for d in change.decorators)))
        for name in sorted(names_used(around, change.cls) & set(change.free)):
            raise Refused("%s:%d: a default or annotation of '%s' uses '%s', a variable of the function that the original was made "
                          'in, which cannot be asked for it' % (path, change.line, change.name, name))
        for name in sorted(names_used(change.node.body, change.cls) & set(change.free) & visible):
            change.notes.append("'%s' is the original's own variable, not that of %s" % (name, path))

    def compile_new(self, args, constants, around, missing, gained):
        """The code of the new function, its placeholders and the names that could have none. Leaves change.maker."""
        change, source = self.change, self.source
        node = copied(change.node)
        node.decorator_list, node.name = [], NEW
        holes = Placeholders(constants, source.future_annotations)
        node.body = [holes.one(n, change.cls) for n in node.body]
        first = 1 if is_docstring(node.body[0]) and is_docstring(change.node.body[0]) else 0
        rest = node.body[first:]
        # A dead read: the compiler counts it, and it leaves no trace.
        keep = statements('if 0: %s' % ', '.join(missing), (rest or node.body)[0]) if missing else []
        if source.count:
            counted = statements('%r()\ntry: pass\nexcept:\n %r()\n raise' % (MARK + 'call', MARK + 'error'), node)
            counted[1].body = rest or counted[1].body
            rest = counted
        node.body[first:] = keep + rest
        before = self.class_names(around, args)
        module = self.nest([node], sorted(args), bool('__class__' in gained and self.owner), before)
        old, found = self.original_flags(), {}
        change.maker = renamed(source.compile(module), [(self.prefix() + NEW, self.old_qualname())],
                               {NEW: (self.old_name(), old)}, found)
        return found[NEW], holes.put, holes.kept

    def old_name(self):
        return self.change.resolved.get('code_name') or self.change.last

    def old_qualname(self):
        return self.change.resolved.get('code_qual') or self.change.qualname

    def original_flags(self):
        """What the place gives and not the text, and what types.coroutine has put there."""
        was = self.change.resolved.get('flags', 0)

        def flags(now):
            now = now & ~(NESTED | METHOD) | was & (NESTED | METHOD)
            return now | was & ITERABLE_COROUTINE if now & was & GENERATOR else now
        return flags

    def stub(self, text, args, kind):
        """The code of a function that has no use of its free variables: those of the target. Of the kind of a function with the
        flags `kind` where that is no more than a flag."""
        change = self.change
        start = 'async def' if text.startswith('return await') else 'def'
        module = self.source.compile(statements('%s %s(%s): %s' % (start, NEW, args, text), change.node))
        found = {}
        renamed(module, [(NEW, self.old_qualname())], {NEW: (self.old_name(), None)}, found)
        flags = found[NEW].co_flags | kind & (NESTED | METHOD | (KINDS | ITERABLE_COROUTINE if sys.version_info >= (3, 11) else 0))
        return found[NEW].replace(co_freevars=change.free, co_flags=flags)

    def check_new(self, code, gained, lost):
        """Refuses what cannot be, and makes the trampoline where one is needed."""
        change, path = self.change, self.source.path
        where = '%s:%d' % (path, change.line)
        if not gained and not lost:
            if code.co_freevars != change.free:
                raise Refused("%s: the free variables of %s are in an order that this compiler does not make" % (where, change.target))
        elif '__class__' in gained and not self.owner:
            raise Refused("%s: '%s' uses super() or __class__, which the original does not, and its class is not to be found by a name" % (
                where, change.name))
        elif change.resolved.get('kind') == 'nested' and change.free:
            raise Refused("%s: '%s' needs %s in a way of its own, and each call of the function around it makes another one" % (
                where, change.name, quoted(tuple(gained) or lost)))
        else:
            change.trampoline = self.make_trampoline(code)
            change.notes.append("each call takes one more, because %s" % (
                'the original has no variable %s' % quoted(gained) if gained else
                "%s of the original is now an ordinary variable" % quoted(lost)))
        self.check_signature(code, where)

    def make_trampoline(self, code):
        """Takes the same arguments and calls the new function with them."""
        args, cls = self.change.node.args, self.change.cls
        names = [[mangled(a.arg, cls) for a in group] for group in (
            args.posonlyargs, args.args, [args.vararg] * bool(args.vararg), args.kwonlyargs, [args.kwarg] * bool(args.kwarg))]
        positional, plain, star, keyword, stars = names
        taken = positional + ['/'] * bool(positional) + plain + ['*' + n for n in star or [''] * bool(keyword)] + keyword
        given = positional + plain + ['*' + n for n in star] + ['%s=%s' % (n, n) for n in keyword] + ['**' + n for n in stars]
        call = '%r(%s)' % (MARK + 'impl', ', '.join(given))
        form = 'return %s'
        if sys.version_info < (3, 11):  # there a function's kind is more than a flag
            if code.co_flags & ASYNC_GENERATOR:
                raise Refused("%s:%d: '%s' needs a variable that the original has not, which before Python 3.11 cannot be in an "
                              'asynchronous generator' % (self.source.path, self.change.line, self.change.name))
            form = 'return await %s' if code.co_flags & COROUTINE else 'return (yield from %s)' if code.co_flags & GENERATOR else form
        return self.stub(form % call, ', '.join(taken + ['**' + n for n in stars]), code.co_flags)

    def check_signature(self, code, where):
        change = self.change
        old = Signature.of_answer(change.resolved)
        new = Signature.of_code(code, change.node, change.cls)
        change.signature = {'signature': {'old': old.text(), 'new': new.text()}, 'function_kind': {'old': old.kind, 'new': new.kind}}
        if change.resolved.get('kind') == 'nested':
            # Not known, and not of the code.
            if new.defaults or new.kwdefaults:
                change.notes.append("the defaults of '%s' are made by the function around it, and stay" % change.name)
            old.defaults, old.kwdefaults = new.defaults, new.kwdefaults
        worse, other = new.against(old)
        if worse and not self.source.force:
            raise Refused('%s: the new %s%s is not called as the original %s%s is: %s (--force changes it all the same)' % (
                where, change.name, new.text(), change.target, old.text(), '; '.join(worse)))
        change.notes += worse + other


def quoted(names):
    return ', '.join("'%s'" % n for n in names)


class Signature:
    """What callers must know of a function."""

    def __init__(self, names, flags, count, posonly, kwonly, defaults, kwdefaults):
        self.positional = list(names[:count])
        self.posonly = posonly
        self.keyword = list(names[count:count + kwonly])
        more = list(names[count + kwonly:])
        self.star = more.pop(0) if flags & VARARGS and more else None
        self.stars = more.pop(0) if flags & VARKEYWORDS and more else None
        self.defaults, self.kwdefaults = defaults, set(kwdefaults)
        self.kind = ('asynchronous generator' if flags & ASYNC_GENERATOR else 'coroutine' if flags & COROUTINE else
                     'generator' if flags & GENERATOR else 'plain function')

    @classmethod
    def of_answer(cls, a):
        return cls(a.get('argnames', ()), a.get('flags', 0), a.get('argcount', 0), a.get('posonly', 0), a.get('kwonly', 0),
                   a.get('defaults', 0), a.get('kwdefaults', ()))

    @classmethod
    def of_code(cls, code, node, around):
        args = node.args
        return cls(code.co_varnames, code.co_flags, code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount,
                   len(args.defaults), [mangled(a.arg, around) for a, d in zip(args.kwonlyargs, args.kw_defaults) if d])

    def required(self, at):
        return at < len(self.positional) - self.defaults

    def text(self):
        out = []
        for at, name in enumerate(self.positional):
            out.append(name if self.required(at) else name + '=...')
            if at + 1 == self.posonly:
                out.append('/')
        if self.star or self.keyword:
            out.append('*' + (self.star or ''))
        out += [name + '=...' if name in self.kwdefaults else name for name in self.keyword]
        return '(%s)' % ', '.join(out + ['**%s' % self.stars] * bool(self.stars))

    def against(self, old):
        """What breaks callers of the old one, and what else differs."""
        worse, other = [], []
        if self.kind != old.kind:
            worse.append('it was a %s and is a %s' % (old.kind, self.kind))
        for at, name in enumerate(old.positional):
            mine = self.positional[at] if at < len(self.positional) else None
            if mine is None:
                worse.append("parameter '%s' is gone" % name)
            elif mine != name:
                (other if at < min(old.posonly, self.posonly) else worse).append("parameter '%s' is now '%s'" % (name, mine))
            elif at >= old.posonly and at < self.posonly:
                worse.append("parameter '%s' can no longer be given by its name" % name)
            if mine is not None and self.required(at) != old.required(at):
                (worse if self.required(at) else other).append("parameter '%s' has %s default" % (
                    mine, 'no longer a' if self.required(at) else 'a new'))
        for at, name in list(enumerate(self.positional))[len(old.positional):]:
            if name not in old.keyword:
                (worse if self.required(at) or old.star else other).append("new parameter '%s' with%s default" % (
                    name, 'out' if self.required(at) else ''))
        for name in old.keyword:
            if name not in self.keyword and name not in self.positional[self.posonly:]:
                worse.append("keyword parameter '%s' is gone" % name)
        for name in self.keyword:
            required = name not in self.kwdefaults
            if name not in old.keyword:
                (worse if required else other).append("new keyword parameter '%s' with%s default" % (name, 'out' if required else ''))
            elif required and name in old.kwdefaults:
                worse.append("keyword parameter '%s' has no longer a default" % name)
        for mine, was, what in ((self.star, old.star, '*'), (self.stars, old.stars, '**')):
            if bool(mine) != bool(was):
                (worse if was else other).append("parameter '%s%s' is %s" % (what, was or mine, 'gone' if was else 'new'))
        return worse, other


# The original's text.

def original(lines, first, name):
    """The source of the function that begins in line `first`, counted from 1, or None where it does not."""
    if not 1 <= first <= len(lines):
        return None
    indent = len(lines[first - 1]) - len(lines[first - 1].lstrip())
    tries = 0
    for end in range(first, len(lines) + 1):
        line = lines[end] if end < len(lines) else 'end'
        if not line.strip() or line.lstrip().startswith('#') or len(line) - len(line.lstrip()) > indent:
            continue
        text = '\n'.join(lines[first - 1:end])
        try:
            with Hush():
                tree = compile('if 1:\n%s\n' % text if indent else text + '\n', '<original>', 'exec', ONLY_AST, True)
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            tries += 1
            if tries > 20:
                return None
            continue
        node = (tree.body[0].body[0] if indent else tree.body[0]) if tree.body else None
        if isinstance(node, DEFS) and node.name != name:
            return None
        if not isinstance(node, DEFS) and name != '<lambda>':
            return None
        last = node.end_lineno - (1 if indent else 0)
        return '\n'.join(lines[first - 1:first - 1 + last]) + '\n'
    return None


def add_originals(source, files):
    room, texts = ORIGINALS_MAX, {}
    for change in source.changes:
        path = change.resolved.get('file')
        if change.kind != 'redefine' or path not in files:
            continue
        if path not in texts:
            try:
                texts[path] = decode(files[path], path).split('\n')
            except Refused:
                texts[path] = []
        text = original(texts[path], change.resolved.get('line', 0), change.resolved.get('code_name'))
        if text is None:
            change.notes.append('%s is not as it was when %s was loaded' % (path, change.target))
        elif len(text) <= min(ORIGINAL_MAX, room):
            change.original = text
            room -= len(text)


def sha256(data):
    try:
        from _sha2 import sha256 as make
    except ImportError:
        try:
            from _sha256 import sha256 as make
        except ImportError:
            from hashlib import sha256 as make
    return make(data).hexdigest()


# The answer.

def answer(request, data):
    size = request['source']
    files, at = {}, size
    for path, length in request.get('files', ()):
        files[path] = data[at:at + length]
        at += length
    source = Source(request, data[:size])
    if request['mode'] == 'redefine':
        source.find_one(request['target'], request.get('name'))
    else:
        source.find_all()
    if 'resolved' not in request:
        return {'resolve': [change.target for change in source.changes]}, b''
    source.resolve(request['resolved'])
    for change in source.changes:
        Maker(source, change).run()
    add_originals(source, files)
    blob = marshal.dumps(source.blob())
    return {'ok': True, 'summary': {
        'file': source.filename, 'source_hash': sha256(data[:size]), 'home': source.home, 'notes': source.notes,
        'changes': [dict(change.signature, kind=change.kind, target=change.target, line=change.line, last_line=change.last_line,
                         notes=change.notes, trampoline=bool(change.trampoline),
                         original=change.original if request.get('originals') else None)
                    for change in source.changes]}}, blob


def serve(request):
    head = int.from_bytes(request[:4], 'little')
    try:
        said, data = answer(from_json(request[8:8 + head].decode()), request[8 + head:])
    except Refused as error:
        said, data = {'error': str(error), 'code': error.code, 'traceback': error.traceback}, b''
    except Exception as error:
        import traceback
        said, data = {'error': 'the compiler failed: %s: %s' % (type(error).__name__, error), 'code': 'internal',
                      'traceback': traceback.format_exc()}, b''
    text = to_json(said).encode()
    return len(text).to_bytes(4, 'little') + len(data).to_bytes(4, 'little') + text + data


def main():
    read, write = sys.stdin.buffer, sys.stdout.buffer
    while True:
        head = read.read(8)
        if len(head) < 8:
            return
        size = int.from_bytes(head[:4], 'little') + int.from_bytes(head[4:], 'little')
        write.write(serve(head + read.read(size)))
        write.flush()


if __name__ == '__main__':
    main()
