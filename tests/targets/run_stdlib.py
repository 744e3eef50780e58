"""run_stdlib: a target that puts modules of the standard library to work.

    run_stdlib.py WORK [--twin FILE | --truth FILE]

Says 'ready', waits for a byte, works, says 'done' and waits again. --twin: does not wait, and records the truth. --truth: waits
like a target and records the truth in the very run that is watched, for work that no two runs do alike (a server).
"""
import argparse
import gc
import os
import random
import sys

import truth as truth_module

LIBRARY = os.path.dirname(os.__file__) + os.sep
# What runs in them to record the truth, and thread starts that are seen in part only.
NOT_COMPARED = tuple(LIBRARY + name for name in ('threading.py', 'ctypes', 'site-packages', 'dist-packages'))


def wanted(file):
    return file.startswith(LIBRARY) and not file.startswith(NOT_COMPARED)


def some_data(rng, depth=4):
    if not depth:
        return rng.choice([1, 2.5, 'text', None, True, 'caf\u00e9 "quoted"\n'])
    if rng.random() < 0.5:
        return [some_data(rng, depth - 1) for _ in range(rng.randint(0, 5))]
    return {'key%d' % i: some_data(rng, depth - 1) for i in range(rng.randint(0, 5))}


def work_json(json):
    rng = random.Random(1)
    pure = json.JSONDecoder()
    pure.parse_string = json.decoder.py_scanstring
    pure.scan_once = json.scanner.py_make_scanner(pure)
    for i in range(15):
        data = [some_data(rng) for _ in range(3)]
        text = json.dumps(data, indent=2, sort_keys=True)
        assert json.loads(text) == data == pure.decode(text)
        json.loads(text, object_hook=lambda d: d, parse_int=lambda s: int(s))
        ''.join(json.JSONEncoder(default=repr).iterencode(data))
        for bad in '[1,', '{"a" 1}', '', '[1] 2':
            try:
                pure.decode(bad)
            except json.JSONDecodeError:
                pass


def work_ast(ast):
    with open(LIBRARY + 'bisect.py') as f:
        source = f.read()

    class Names(ast.NodeVisitor):
        def visit_Name(self, node):
            seen.append(node.id)
            self.generic_visit(node)

    class Swap(ast.NodeTransformer):
        def visit_Add(self, node):
            return ast.Sub()

    seen = []
    for i in range(2):
        tree = ast.parse(source)
        Names().visit(tree)
        ast.fix_missing_locations(Swap().visit(tree))
        ast.dump(tree)
        compile(tree, 'swapped', 'exec')
        sum(1 for _ in ast.walk(tree))
        if hasattr(ast, 'unparse'):
            ast.unparse(tree)
    assert ast.literal_eval('[1, {"a": (2, 3)}]') == [1, {'a': (2, 3)}]


def work_difflib(difflib):
    rng = random.Random(2)
    words = ['%s line %d\n' % (rng.choice('abc'), i % 17) for i in range(120)]
    changed = [w for w in words if rng.random() < 0.9]
    rng.shuffle(changed[10:20])
    list(difflib.unified_diff(words, changed))
    list(difflib.context_diff(words, changed))
    list(difflib.ndiff(words[:25], changed[:25]))
    difflib.get_close_matches('appel', ['ape', 'apple', 'peach', 'puppy'])


def work_text(re, textwrap, pprint, string, email, decimal):
    re.purge()
    for pattern in r'(a|b)*c+?[^x-z]{2,3}(?P<n>\d+)(?=e)', r'(?i)\bword\b|(?<!x)y', r'[\w.]+@[\w.]+':
        re.compile(pattern).sub(lambda m: m.group(0), 'aabc12345e word me@example.org ' * 20)
    textwrap.fill('some words to be wrapped again and again ' * 30, 40)
    pprint.pformat({i: {'list': list(range(i)), 'more': {'deep': 'text ' * i}} for i in range(12)}, width=40)
    string.Template('$a and ${b} and $$').safe_substitute(a=1)
    message = email.message_from_string('Subject: a\nTo: b@example.org\nContent-Type: text/plain\n\nbody\n')
    message.as_string()
    context = decimal.Context(prec=30)
    x = context.create_decimal('1.5')
    for i in range(10):
        x = context.sqrt(context.add(x, context.divide(decimal.Decimal(i), decimal.Decimal(7))))


def work_asyncio(asyncio):
    async def serve(reader, writer):
        try:
            while True:
                line = await reader.readline()
                if not line:
                    break
                writer.write(line.upper())
                await writer.drain()
        finally:
            writer.close()

    async def client(port, n):
        reader, writer = await asyncio.open_connection('127.0.0.1', port)
        for i in range(n):
            writer.write(b'line %d\n' % i)
            await writer.drain()
            assert await asyncio.wait_for(reader.readline(), 60) == b'LINE %d\n' % i
        writer.close()
        await writer.wait_closed()

    async def produce(queue):
        for i in range(40):
            await queue.put(i)
            await asyncio.sleep(0)
        await queue.put(None)

    async def consume(queue):
        async def items():
            while True:
                item = await queue.get()
                if item is None:
                    return
                yield item
        async for _ in items():
            async with lock:
                await asyncio.sleep(0)

    async def main():
        nonlocal lock
        lock = asyncio.Lock()
        server = await asyncio.start_server(serve, '127.0.0.1', 0)
        port = server.sockets[0].getsockname()[1]
        await asyncio.gather(*[client(port, 15) for _ in range(8)])
        queue = asyncio.Queue(3)
        await asyncio.gather(produce(queue), consume(queue))
        try:
            await asyncio.wait_for(asyncio.sleep(600), 0.01)
        except asyncio.TimeoutError:
            pass
        server.close()
        await server.wait_closed()

    lock = None
    asyncio.run(main())


def work(name):
    gc.disable()
    if name == 'json':
        import json.scanner
        return lambda: work_json(json)
    if name == 'ast':
        import ast
        return lambda: work_ast(ast)
    if name == 'difflib':
        import difflib
        return lambda: work_difflib(difflib)
    if name == 'text':
        import email, pprint, re, string, textwrap, _pydecimal
        import email.feedparser, email.generator
        return lambda: work_text(re, textwrap, pprint, string, email, _pydecimal)
    import asyncio
    return lambda: work_asyncio(asyncio)


def gate(word):
    os.write(1, word.encode() + b'\n')
    if os.read(0, 1) == b'':
        os._exit(3)


def main(args):
    do = work(args.work)
    if not args.twin:
        gate('ready')
    recorder = truth_module.Truth() if args.twin or args.truth else None
    if recorder:
        recorder.start()
    do()
    if recorder:
        recorder.stop()
    if not args.twin:
        gate('done')
    if recorder:
        truth_module.dump(recorder.result(wanted, lambda file: False), args.twin or args.truth)


if __name__ == '__main__':
    parser = argparse.ArgumentParser()
    parser.add_argument('--twin')
    parser.add_argument('--truth')
    parser.add_argument('work', choices=['json', 'ast', 'difflib', 'text', 'asyncio'])
    main(parser.parse_args())
