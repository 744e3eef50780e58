"""What the agent costs a program: when nothing is asked of it, while functions change, and afterwards."""
import json
import os
import re
import subprocess
import tempfile
import time

from figures import goal, heading, ratios, summary, table
from processes import PATIENCE, Child, Failed

MANY = 1000
CYCLES = 10000
WARM_UP = 1000  # cycles before memory is looked at

# Says `ready`; then: agent PATH, time, busy.
PROGRAM = '''
import importlib.machinery, importlib.util, sys, threading, time
def work(a, b=1):
    return a + b
def defined(a, b=1):
    c = a * b
    return c + 1
for n in range(%d):
    exec('def f%%d(a):\\n    return a + %%d' %% (n, n))
def agent(path):
    loader = importlib.machinery.ExtensionFileLoader('pylu_agent', path)
    module = importlib.util.module_from_spec(importlib.util.spec_from_file_location('pylu_agent', path, loader=loader))
    loader.exec_module(module)
    sys.modules['pylu_agent'] = module
    module.start()
def least(f):
    clock, best = time.perf_counter_ns, 1 << 60
    for _ in range(60):
        begun = clock()
        for _ in range(1000):
            f(2); f(3); f(4); f(5); f(6)
        best = min(best, clock() - begun)
    return best / 5000
def spin():
    while True:
        work(1)
print('ready', flush=True)
for line in sys.stdin:
    word, _, rest = line.strip().partition(' ')
    if word == 'agent':
        agent(rest)
    elif word == 'busy':
        threading.Thread(target=spin, daemon=True).start()
    print(least(globals()[rest]) if word == 'time' else 'done', flush=True)
''' % MANY

ONE = 'def work(a, b=1):\n    c = a * b\n    return c + 1\n'


class Target(Child):
    def __init__(self, options, python, agent=True):
        super().__init__(python.command + ['-I', '-c', PROGRAM], stdout=subprocess.PIPE)
        self.wait_for(self.process.stdout, 'ready')
        if agent:
            self.ask('agent ' + options.agent)

    def ask(self, line):
        self.process.stdin.write(line + '\n')
        self.process.stdin.flush()
        answer = self.process.stdout.readline().strip()
        if not answer:
            raise Failed('the target ended')
        return answer

    def switches(self):
        """Of all threads but the first, since they were made."""
        total = 0
        for tid in os.listdir('/proc/%d/task' % self.pid):
            if int(tid) != self.pid:
                with open('/proc/%d/task/%s/status' % (self.pid, tid)) as f:
                    total += sum(map(int, re.findall(r'ctxt_switches:\s*(\d+)', f.read())))
        return total

    def resident_kib(self):
        with open('/proc/%d/status' % self.pid) as f:
            return int(re.search(r'VmRSS:\s*(\d+)', f.read()).group(1))


def run_for_ms(command):
    """How long it took, and what it said."""
    begun = time.monotonic()
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=PATIENCE * 10)
    took = (time.monotonic() - begun) * 1e3
    if done.returncode:
        raise Failed('%s ended with %d: %s' % (' '.join(command), done.returncode, done.stderr.decode('utf-8', 'replace')))
    return took, done.stdout.decode()


def idle(options, python):
    without, with_agent, switches = [], [], []
    for _ in range(options.runs):
        with Target(options, python, agent=False) as target:
            without.append(float(target.ask('time work')))
        with Target(options, python) as target:
            before = target.switches()
            with_agent.append(float(target.ask('time work')))
            time.sleep(1)
            switches.append(target.switches() - before)
    return [python.text, summary(without, '%.1f'), summary(with_agent, '%.1f'), summary(ratios(with_agent, without), '%.3f'),
            summary(switches, '%d') + goal(switches, 0)]


def write(folder, name, text):
    path = os.path.join(folder, name)
    with open(path, 'w') as f:
        f.write(text)
    return path


def change(options, target, *arguments):
    """ms of the command, and what it reports of the process. It is taken back."""
    took, said = run_for_ms([options.pylu_cli, arguments[0], '-p', str(target.pid), '-f', 'json'] + list(arguments[1:]))
    run_for_ms([options.pylu_cli, 'revert', '-p', str(target.pid), 'all'])
    return took, json.loads(said)['processes'][0]


def starts_ms(options, python):
    """What a start of pylu-cli and one of the interpreter take, which no redefine can do without."""
    return run_for_ms([options.pylu_cli, '--version'])[0] + run_for_ms(python.command + ['-I', '-S', '-c', 'pass'])[0]


def changes(options, python, folder):
    one = write(folder, 'one.py', ONE)
    many = write(folder, 'many.py', 'from pylu import redefine\n' + ''.join(
        "@redefine('__main__.f%d')\ndef f%d(a):\n    return a - %d\n" % (n, n, n) for n in range(MANY)))
    beyond, waits, hold_one, hold_many = [], [], [], []
    with Target(options, python) as target:
        change(options, target, 'redefine', '__main__.work', one)
        for _ in range(options.runs):
            bare = starts_ms(options, python)
            took, said = change(options, target, 'redefine', '__main__.work', one)
            beyond.append(took - bare)
            hold_one.append(said['hold_us'] + said['prepare_hold_us'])
            hold_many.append(change(options, target, 'patch', many)[1]['hold_us'] / 1e3)
        target.ask('busy')
        for _ in range(options.runs):
            waits.append(change(options, target, 'redefine', '__main__.work', one)[1]['gil_wait_us'] / 1e3)
    return [python.text, summary(beyond, '%.1f') + goal(beyond, 5), summary(waits, '%.1f'), summary(hold_one, '%.0f') + goal(hold_one, 300),
            summary(hold_many, '%.1f') + goal(hold_many, 50)]


def after(options, python, folder):
    one = write(folder, 'one.py', ONE)
    defined, patched, reverted = [], [], []
    for _ in range(options.runs):
        with Target(options, python) as target:
            before = float(target.ask('time work'))
            run_for_ms([options.pylu_cli, 'redefine', '-p', str(target.pid), '__main__.work', one])
            patched.append(float(target.ask('time work')))
            defined.append(float(target.ask('time defined')))
            run_for_ms([options.pylu_cli, 'revert', '-p', str(target.pid), 'all'])
            reverted.append(float(target.ask('time work')) / before)
    return [python.text, summary(defined, '%.1f'), summary(patched, '%.1f'), summary(ratios(patched, defined), '%.3f'), summary(reverted, '%.3f')]


def memory(options, python, folder):
    patch = write(folder, 'patch.py', "from pylu import redefine\n@redefine('__main__.work')\n" + ONE)
    with Target(options, python) as target:
        run_for_ms([options.agent_cycle, str(target.pid), patch, str(WARM_UP)])
        before = target.resident_kib()
        took, said = run_for_ms([options.agent_cycle, str(target.pid), patch, str(CYCLES)])
        grown = target.resident_kib() - before
    cycles = json.loads(said)
    return [python.text, '%d' % before, '%+d' % grown, '%.2f' % (took / CYCLES)] + [
        summary(cycles[name], '%.0f') for name in ('prepare_us', 'commit_us', 'revert_us')]


def run(options):
    built = os.path.dirname(os.path.dirname(options.pylu_bpf))
    options.pylu_cli = os.path.join(built, 'cli', 'pylu-cli')
    options.agent = os.path.join(built, 'agent', 'pylu_agent.so')
    options.agent_cycle = os.path.join(built, 'tests', 'tools', 'agent_cycle')
    pythons = [python for python in options.pythons if python.root == '/']  # another root does not have the library
    with tempfile.TemporaryDirectory(prefix='pylu-bench-') as folder:
        heading('An idle agent: ns per call of a small function; what the agent\'s thread was switched in and out')
        table([['Python', 'without', 'with', 'ratio', 'context switches']] + [idle(options, python) for python in pythons])
        heading('A change: pylu-cli redefine of one function, and a patch of %d' % MANY)
        table([['Python', 'beyond two starts, ms', 'wait for the GIL, one busy thread, ms', 'GIL held, one function, us', 'GIL held, %d functions, ms' % MANY]] +
              [changes(options, python, folder) for python in pythons])
        heading('After it: ns per call of a function that was redefined, and of one that was so from the start')
        table([['Python', 'from the start', 'redefined', 'ratio', 'reverted to before']] + [after(options, python, folder) for python in pythons])
        heading('Memory: %d changes and reverts on one link' % CYCLES)
        table([['Python', 'RSS after %d, KiB' % WARM_UP, 'grown by, KiB', 'ms each', 'prepare, us', 'commit, us', 'revert, us']] +
              [memory(options, python, folder) for python in pythons])
