"""The processes of the benchmark: the program that is watched and what watches it. All are children and end with it."""
import ctypes
import json
import os
import re
import signal
import subprocess
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(HERE)
PATIENCE = 120  # seconds

own_cache = tempfile.TemporaryDirectory(prefix='pylu-bench-')


class Failed(Exception):
    pass


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


class Child:
    """Used with `with`, it is gone behind the block, however that is left."""

    def __init__(self, command, **more):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True, preexec_fn=die_with_parent, **more)
        self.pid = self.process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for pipe in (self.process.stdin, self.process.stdout, self.process.stderr):
            if pipe:
                pipe.close()

    def wait_for(self, pipe, start):
        """The lines of a pipe up to the first that begins so, that one included."""
        lines = []
        for line in pipe:
            lines.append(line.rstrip('\n'))
            if line.startswith(start):
                return lines
        raise Failed('%s ended before it said %r: %s' % (self.process.args[0], start, ' / '.join(lines[-3:])))


class Target(Child):
    """One of the programs in target.py. `first`: it gets the processor before all else, so that what is measured is not
    what else runs on the machine."""

    def __init__(self, python, *arguments, first=False):
        with open(os.path.join(HERE, 'target.py')) as f:  # a file of ours is not there in another root
            program = f.read()
        super().__init__(python.command + ['-I', '-c', program] + list(arguments), stdout=subprocess.PIPE)
        if first:
            os.setpriority(os.PRIO_PROCESS, self.pid, -19)
        self.wait_for(self.process.stdout, 'ready')

    def tell(self, line):
        self.process.stdin.write('%s\n' % line)
        self.process.stdin.flush()

    def ask(self, line):
        self.tell(line)
        return self.answer()

    def answer(self):
        answer = self.process.stdout.readline()
        if not answer:
            raise Failed('the target ended')
        return answer.strip()


class Floor(Child):
    """A BPF program that does nothing at the same sites. `sites`: 'what emulated' or 'what single-stepped'."""

    def __init__(self, program, pid, backend=None):
        super().__init__([program, str(pid)] + ([backend] if backend else []), stdout=subprocess.PIPE)
        lines = self.wait_for(self.process.stdout, 'attached')
        self.sites = [line[len('site '):] for line in lines if line.startswith('site ')]

    def stop(self):
        self.process.stdin.close()
        self.process.wait(PATIENCE)


class WatchFloor(Child):
    """A BPF program that does nothing at the places of some lines. `places`: how many."""

    def __init__(self, program, pid, function, lines):
        super().__init__([program, str(pid), function, lines], stdout=subprocess.PIPE)
        said = self.wait_for(self.process.stdout, 'attached')
        self.places = int(re.search('places ([0-9]+)', '\n'.join(said)).group(1))

    def stop(self):
        self.process.stdin.close()
        self.process.wait(PATIENCE)


class Watcher(Child):
    """One of pylu-bpf's commands, from its start on; ready when made. `startup_ms`: from the command's start until it watched;
    `stop_ms`: from the interrupt until it ended, the result written. `cache`: the folder in which it remembers what it
    proved, if not the one that all of them share."""

    def __init__(self, program, command, pids, more, ending='.json', cache=None):
        self.output = tempfile.NamedTemporaryFile(prefix='pylu-bench-', suffix=ending)
        begun = time.monotonic()
        super().__init__([program, command, '-p', ','.join(map(str, pids)), '-o', self.output.name] + list(more),
                         stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                         env=dict(os.environ, PYLU_DEBUG='1', XDG_CACHE_HOME=cache or own_cache.name))
        self.said = self.wait_for(self.process.stderr, 'pylu-bpf: watching')
        self.startup_ms = (time.monotonic() - begun) * 1e3

    def __exit__(self, *what):
        super().__exit__(*what)
        self.output.close()

    def took(self, what):
        """The last 'attached in N ms' or 'detached in N ms'; the proof on a throw-away child says the same before."""
        found = re.findall(what + r' in ([0-9.]+) ms', '\n'.join(self.said))
        if not found:
            raise Failed('pylu-bpf did not say how long it took until it was %s' % what)
        return float(found[-1])

    def stop(self):
        """Ends the measurement and waits for the result."""
        begun = time.monotonic()
        self.process.send_signal(signal.SIGINT)
        watchdog = threading.Timer(PATIENCE, self.process.kill)
        watchdog.start()
        self.said += self.process.stderr.read().splitlines()
        status = self.process.wait()
        watchdog.cancel()
        self.stop_ms = (time.monotonic() - begun) * 1e3
        if status:
            raise Failed('pylu-bpf ended with %d: %s' % (status, ' / '.join(self.said[-3:])))

    def resident_kib(self):
        with open('/proc/%d/status' % self.pid) as f:
            return int(re.search(r'VmRSS:\s*(\d+)', f.read()).group(1))

    def maps_kib(self):
        """Kernel memory of its BPF maps, by what the kernel says of each descriptor."""
        total, seen = 0, set()
        for fd in os.listdir('/proc/%d/fdinfo' % self.pid):
            with open('/proc/%d/fdinfo/%s' % (self.pid, fd)) as f:
                fields = dict(line.split(':', 1) for line in f.read().splitlines() if ':' in line)
            if 'map_id' in fields and fields['map_id'] not in seen:
                seen.add(fields['map_id'])
                total += int(fields['memlock'])
        return total // 1024


class Profile(Watcher):
    """`pylu-bpf profile`."""

    def __init__(self, program, pids, patterns, raw=False, cache=None, backend=None):
        super().__init__(program, 'profile', pids, ['--raw'] * raw + (['--backend', backend] if backend else []) +
                         list(patterns), cache=cache)


class Seen(Watcher):
    """`pylu-bpf trace`, `debug` or `var`, without a limit to the rate."""

    def __init__(self, program, command, pid, *more, ending='.json'):
        super().__init__(program, command, [pid], ['--rate', '0'] + list(more), ending)

    def counts(self):
        """Events shown and lost, of the summary, which is at the end."""
        with open(self.output.name) as f:
            last = ''.join(f.readlines()[-4:])
        if self.output.name.endswith('.json'):
            summary = json.loads(last.splitlines()[-1])
            return summary['events'], summary['lost']
        found = re.search('# ([0-9]+) events? shown, (?:nothing|([0-9]+)) lost', last)
        return int(found.group(1)), int(found.group(2) or 0)
