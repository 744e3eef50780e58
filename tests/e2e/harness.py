"""harness: what the end-to-end tests share: interpreters, targets, sessions of pylu-bpf, counting, cleaning up.

Knows how a target and pylu-bpf are kept in step (no test sleeps until something is probably ready): a target says a word
on its stdout and waits for a byte on its stdin; pylu-bpf says 'pylu-bpf: watching' on its stderr when all probes are live
and ends its measurement at SIGINT. What is right is not decided here but in compare.py and the tests.
"""
import argparse
import ctypes
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
TARGETS = os.path.join(ROOT, 'tests', 'targets')
sys.path.insert(0, os.path.join(ROOT, 'scripts'))
import interpreters  # noqa: E402

OLDEST, NEWEST = (3, 8), (3, 15)  # what pylu-bpf supports
PATIENCE = float(os.environ.get('PYLU_E2E_PATIENCE', '120'))  # seconds until something that hangs counts as failed
SKIP = 77
BACKENDS = {'frame': (OLDEST, (3, 10)), 'opcode': ((3, 11), NEWEST), 'usdt': ((3, 15), NEWEST)}  # first and last version
backend = None  # with which all sessions run; None: pylu-bpf chooses


class Failed(Exception):
    pass


class Skipped(Exception):
    pass


def check(ok, message):
    if not ok:
        raise Failed(message)


def die_with_parent():
    """For children: whatever happens to the runner, they do not stay behind."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Reader:
    """Collects the lines of a pipe; others wait for one of them."""

    def __init__(self, pipe):
        self.pipe = pipe
        self.lines = []
        self.changed = threading.Condition()
        self.closed = False
        self.thread = threading.Thread(target=self.work, daemon=True)
        self.thread.start()

    def work(self):
        for line in self.pipe:
            with self.changed:
                self.lines.append(line.decode('utf-8', 'replace').rstrip('\n'))
                self.changed.notify_all()
        with self.changed:
            self.closed = True
            self.changed.notify_all()

    def wait_for(self, prefix):
        """The first line that starts so, or None when the pipe was closed before."""
        deadline = time.monotonic() + PATIENCE
        with self.changed:
            while True:
                for line in self.lines:
                    if line.startswith(prefix):
                        return line
                if self.closed:
                    return None
                if not self.changed.wait(deadline - time.monotonic()):
                    raise Failed('no line %r within %g s; so far: %r' % (prefix, PATIENCE, self.lines[-5:]))

    def text(self):
        self.thread.join(PATIENCE)
        return '\n'.join(self.lines)


def ended(process, what, patience=None):
    try:
        return process.wait(patience or PATIENCE)
    except subprocess.TimeoutExpired:
        raise Failed('%s did not end within %g s' % (what, patience or PATIENCE))


class Target:
    """A Python process that goes on when it is told to."""

    def __init__(self, command, **more):
        self.errors = tempfile.TemporaryFile()
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
                                        preexec_fn=more.pop('preexec_fn', die_with_parent), **more)
        self.pid = self.process.pid
        self.buffer = b''
        running.append(self.process)

    def expect(self, word):
        """Waits until the target says `word`."""
        deadline = time.monotonic() + PATIENCE
        while b'\n' not in self.buffer:
            ready, _, _ = select.select([self.process.stdout], [], [], max(0, deadline - time.monotonic()))
            if not ready:
                raise Failed('target %d did not say %r within %g s' % (self.pid, word, PATIENCE))
            data = os.read(self.process.stdout.fileno(), 65536)
            if not data:
                status = ended(self.process, 'target %d' % self.pid)
                raise Failed('target %d ended with %s before it said %r: %s' % (self.pid, status, word, self.error_text()))
            self.buffer += data
        line, _, self.buffer = self.buffer.partition(b'\n')
        check(line.decode().split(' ')[0] == word, 'target %d said %r, not %r' % (self.pid, line.decode(), word))
        return line.decode()[len(word) + 1:]

    def go(self):
        self.process.stdin.write(b'.')
        self.process.stdin.flush()

    def error_text(self):
        self.errors.seek(0)
        return self.errors.read().decode('utf-8', 'replace')[-3000:]

    def finish(self):
        """Lets it go to its end, which must be a good one."""
        self.process.stdin.close()
        status = ended(self.process, 'target %d' % self.pid)
        self.process.stdout.close()
        check(status == 0, 'target %d ended with %d: %s' % (self.pid, status, self.error_text()))


class Session:
    """pylu-bpf at work. `arguments` without the output options when `output` is None; `program`: how pylu-bpf is run."""

    def __init__(self, arguments, output=None, **more):
        self.output = output
        options = ['profile', '-f', 'json', '-o', output] + (['--backend', backend] if backend else []) if output else []
        self.command = more.pop('program', [pylu_bpf()]) + options + arguments
        self.process = subprocess.Popen(self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, preexec_fn=more.pop('preexec_fn', die_with_parent), **more)
        running.append(self.process)
        self.stderr = Reader(self.process.stderr)
        self.stdout = Reader(self.process.stdout)

    def watching(self):
        if self.stderr.wait_for('pylu-bpf: watching') is None:
            raise Failed('pylu-bpf ended with %d before it watched: %s'
                         % (ended(self.process, 'pylu-bpf'), self.stderr.text()))
        return self

    def interrupt(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)

    def status(self):
        return ended(self.process, 'pylu-bpf')

    def stop(self):
        """Ends the measurement and gives the profile."""
        self.interrupt()
        return self.result()

    def result(self):
        status = self.status()
        check(status == 0, 'pylu-bpf ended with %d: %s' % (status, self.stderr.text()))
        profile = load_json(self.output)
        backends.update(process['backend'] for process in profile['processes'])
        return profile


def pylu_bpf():
    path = os.environ.get('PYLU_BPF') or os.path.join(ROOT, 'build', 'cli', 'pylu-bpf')
    if not os.access(path, os.X_OK):
        raise Skipped('%s is not there; set PYLU_BPF' % path)
    return path


def built(variable, *path):
    """A file of the build, which the environment may name."""
    file = os.environ.get(variable) or os.path.join(ROOT, 'build', *path)
    if not os.access(file, os.R_OK):
        raise Skipped('%s is not there; set %s' % (file, variable))
    return file


def tool(name):
    """A program of tests/tools, which is built where pylu-bpf is."""
    path = os.path.join(os.path.dirname(os.path.dirname(pylu_bpf())), 'tests', 'tools', name)
    if not os.access(path, os.X_OK):
        raise Skipped('%s is not there' % path)
    return path


TOKEN = re.compile(r'\s*(?:([{}\[\],:])|("(?:[^"\\]|\\.)*")|([^\s{}\[\],:"]+))')


def load_json(path):
    """Also a file that is nested deeply: a deep recursion is a deep call tree."""
    with open(path, encoding='utf-8') as f:
        text = f.read()
    check(text.strip(), '%s is empty' % path)
    result = []

    def parse():
        try:
            result.append(json.loads(text))
        except RecursionError:  # from 3.12 on the limit below is not that of the parser
            result.append(parse_deep(text, path))

    limit, size = sys.getrecursionlimit(), threading.stack_size(512 << 20)  # the parser recurses
    sys.setrecursionlimit(1 << 20)
    thread = threading.Thread(target=parse)
    thread.start()
    thread.join()
    sys.setrecursionlimit(limit)
    threading.stack_size(size)
    check(result, '%s is not JSON' % path)
    return result[0]


def parse_deep(text, path):
    """The same at any depth, and ten times slower."""
    stack, keys, value, at, end = [], [], None, 0, len(text.rstrip())
    key = None
    while at < end:
        match = TOKEN.match(text, at)
        check(match, '%s: no JSON at %d' % (path, at))
        at = match.end()
        mark, string, other = match.groups()
        if mark in ('{', '['):
            stack.append({} if mark == '{' else [])
            keys.append(key)
            key = None
            continue
        if mark == ':' or mark == ',':
            continue
        if mark in ('}', ']'):
            value, key = stack.pop(), keys.pop()
            if not stack:
                break
        else:
            value = json.loads(string or other)
            if string and isinstance(stack[-1], dict) and key is None:
                key = value
                continue
        if isinstance(stack[-1], dict):
            stack[-1][key] = value
            key = None
        else:
            stack[-1].append(value)
    check(at >= end and not stack, '%s: JSON ends too early or too late' % path)
    return value


running = []
backends = set()  # those of the profiles since it was cleared


def end_all():
    """Kills and reaps what tests started and left, by its id."""
    for process in running:
        if process.poll() is None:
            process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe:
                try:
                    pipe.close()
                except OSError:
                    pass
    del running[:]


def text_differs(pid):
    """Whether the executable pages of the interpreter in process `pid` differ from its file: the mark of a probe."""
    with open('/proc/%d/maps' % pid) as maps, open('/proc/%d/mem' % pid, 'rb') as mem:
        for line in maps:
            fields = line.split(None, 5)
            if 'x' not in fields[1] or len(fields) < 6 or not re.search(r'python3\.\d+[^/]*$', fields[5].strip()):
                continue
            start, end = (int(x, 16) for x in fields[0].split('-'))
            with open('/proc/%d/map_files/%x-%x' % (pid, start, end), 'rb') as f:
                f.seek(int(fields[2], 16))
                mine = f.read(end - start)
            mem.seek(start)
            if mem.read(len(mine)) != mine:
                return True
    return False


def wait_unprobed(pid):
    """The kernel takes breakpoints out in its own time when a process that had set them is killed."""
    deadline = time.monotonic() + PATIENCE
    while text_differs(pid):
        check(time.monotonic() < deadline, 'process %d still has breakpoints in its text' % pid)
        time.sleep(0.02)


class Row:
    """What was covered of one interpreter: a line that scripts/test adds up into its matrix."""

    def __init__(self, python):
        self.python = python
        self.counts = dict.fromkeys(('passed', 'failed', 'skipped', 'refused'), 0)
        self.backends = set()

    def print(self, test):
        if any(self.counts.values()):
            print('COVERED: ' + ' | '.join([self.python.text, self.python.origin, self.python.build,
                                            ' '.join(sorted(self.backends)) or '-', test,
                                            ', '.join('%d %s' % (n, what) for what, n in self.counts.items())]))


class Suite:
    """Runs cases, prints one line for each that is not just right, and counts: all together, and for each interpreter."""

    def __init__(self, description):
        self.parser = argparse.ArgumentParser(description=description)
        self.parser.add_argument('--python', action='append', metavar='PATH',
                                 help='an interpreter to test with (default: all that are found)')
        self.parser.add_argument('--backend', choices=sorted(BACKENDS), help='the backend to test (default: the best)')
        self.parser.add_argument('--keep', action='store_true', help='keep the files of failed cases')
        self.passed = self.failed = self.skipped = 0
        self.rows = {}

    def start(self, needs_root=True):
        """Parses the arguments; ends the whole test as skipped where it cannot run at all."""
        global backend
        self.arguments = self.parser.parse_args()
        backend = self.arguments.backend
        reason = None
        if not needs_root:
            pass
        elif os.geteuid() != 0:
            reason = 'BPF and other processes\' memory need root'
        else:
            try:
                pylu_bpf()
            except Skipped as missing:
                reason = str(missing)
        if reason:
            print('SKIP: %s' % reason)
            print('0 passed, 0 failed, 1 skipped')
            sys.exit(SKIP)
        return self.arguments

    def interpreters(self, variants=False, free_threaded=False):
        """Those that pylu-bpf supports; other builds of the same versions among them when `variants` is set or they are named. Or those
        without a GIL, which nobody supports."""
        found = []
        first, last = BACKENDS[backend] if backend else (OLDEST, NEWEST)
        for python in interpreters.find(self.arguments.python):
            if free_threaded and python.free_threaded:
                found.append(python)
            if free_threaded or python.support != 'yes' or python.free_threaded:
                continue  # see test_refused
            if python.variant and not variants and not self.arguments.python:
                continue
            if not OLDEST <= python.version[:2] <= NEWEST:
                self.note_skip('%s is not supported yet' % python.name)
            elif first <= python.version[:2] <= last:
                found.append(python)
        if not found and free_threaded:
            self.note_skip('no free-threaded interpreter found')
        elif not found:
            self.note_skip('no interpreter from %d.%d to %d.%d found' % (first + last))
        return found

    def refused(self):
        """Those that pylu-bpf must refuse, or may, although it knows their version."""
        found = interpreters.find(self.arguments.python)
        return [python for python in found if python.support != 'yes' and OLDEST <= python.version[:2] <= NEWEST]

    def note_skip(self, reason):
        self.skipped += 1
        print('SKIP: %s' % reason, flush=True)

    def run(self, name, function, *args, python=None, unwatched='passed', **more):
        """One case. `function(folder, *args, **more)` raises Failed or Skipped, or returns a text for its line or None. It counts for
        `python`, when that is given; a good one that left no profile as `unwatched`."""
        folder = tempfile.mkdtemp(prefix='pylu-e2e-')
        begun = time.monotonic()
        backends.clear()
        try:
            said = function(folder, *args, **more)
        except Skipped as reason:
            outcome = 'skipped'
            self.note_skip('%s: %s' % (name, reason))
        except Exception as error:
            outcome = 'failed'
            self.failed += 1
            what = str(error) if isinstance(error, Failed) else traceback.format_exc()
            print('FAILED: %s: %s' % (name, what), flush=True)
        else:
            outcome = 'passed' if backends else unwatched
            self.passed += 1
            print('ok: %s%s (%.1f s)' % (name, ': ' + said if said else '', time.monotonic() - begun), flush=True)
        if python:
            row = self.rows.setdefault(python.path, Row(python))
            row.counts[outcome] += 1
            row.backends |= backends
        end_all()
        if outcome == 'failed' and self.arguments.keep:
            print('    files: %s' % folder)
        else:
            shutil.rmtree(folder, ignore_errors=True)

    def finish(self):
        for row in self.rows.values():
            row.print(os.path.splitext(os.path.basename(sys.argv[0]))[0])
        print('%d passed, %d failed, %d skipped' % (self.passed, self.failed, self.skipped), flush=True)
        sys.exit(1 if self.failed else 0 if self.passed else SKIP)
