"""What watching costs a real web application: the Django shop of the examples, with load on it."""
import contextlib
import glob
import json
import os
import re
import signal
import subprocess
import tempfile
import time

from figures import heading, ratios, summary, table
from processes import PATIENCE, ROOT, Child, Failed, Floor, Profile

PYTHON, GUNICORN = '/usr/bin/python3', '/usr/bin/gunicorn'  # Debian's, which have Django
SHOP = os.path.join(ROOT, 'examples', 'django-shop')
SECONDS = 4
NARROW = 'shop.pricing.**'


def children(pid):
    found = []
    for path in glob.glob('/proc/%d/task/*/children' % pid):
        with open(path) as f:
            found += map(int, f.read().split())
    return found


def wait_until(what, seconds, message):
    deadline = time.monotonic() + seconds
    while True:
        found = what()
        if found:
            return found
        if time.monotonic() > deadline:
            raise Failed(message)
        time.sleep(0.05)


@contextlib.contextmanager
def shop(folder):
    """A running shop: its port and the process ids of the two workers."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(('PYTHON', 'DJANGO', 'GUNICORN'))}
    environment.update(SHOP_DB=os.path.join(folder, 'shop.sqlite3'), PYTHONDONTWRITEBYTECODE='1')
    for command in (['migrate', '--verbosity', '0'], ['seed']):
        subprocess.run([PYTHON, os.path.join(SHOP, 'manage.py')] + command, env=environment, check=True,
                       stdout=subprocess.DEVNULL)
    log = os.path.join(folder, 'log')
    command = [PYTHON, GUNICORN, '--chdir', SHOP, '--workers', '2', '--bind', '127.0.0.1:0', '--log-file', log, 'shop.wsgi']
    with Child(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:

        def listening():
            with contextlib.suppress(FileNotFoundError), open(log) as f:
                return re.search(r'Listening at: http://127\.0\.0\.1:(\d+)', f.read())

        try:
            port = int(wait_until(listening, 30, 'gunicorn did not start').group(1))
            workers = wait_until(lambda: len(children(server.pid)) == 2 and children(server.pid), 30, 'no two workers')
            yield port, workers
        finally:
            server.process.send_signal(signal.SIGTERM)
            server.process.wait(PATIENCE)


def load(port):
    """Pages per second, asked for during some seconds by four clients."""
    done = subprocess.run([PYTHON, os.path.join(SHOP, 'load.py'), str(port), '--seconds', str(SECONDS)],
                          stdout=subprocess.PIPE, text=True)
    rate = re.match(r'([0-9.]+) requests/s', done.stdout)
    if done.returncode or not rate:
        raise Failed('pages of the shop failed: %s' % done.stdout.strip())
    return float(rate.group(1))


def floored(port, workers, options):
    with contextlib.ExitStack() as stack:
        floors = [stack.enter_context(Floor(options.floor, pid)) for pid in workers]
        rate = load(port)
        for floor in floors:
            floor.stop()
    return rate


def profiled(port, workers, options, pattern, hits):
    """The rate, and into `hits` the probe hits of a page."""
    with Profile(options.pylu_bpf, workers, [pattern]) as profile:
        rate = load(port)
        profile.stop()
        with open(profile.output.name) as f:
            hits.append(sum(process['hits_total'] for process in json.load(f)['processes']) / (rate * SECONDS))
    return rate


def run(options):
    heading('A web application: requests/s of the Django shop, two gunicorn workers, four clients on the same machine')
    if not os.path.exists(GUNICORN):
        print('SKIPPED: there is no %s' % GUNICORN)
        return
    hits = []
    with tempfile.TemporaryDirectory(prefix='pylu-bench-') as folder, shop(folder) as (port, workers):
        variants = {
            'not watched': lambda: load(port),
            'floor': lambda: floored(port, workers, options),
            NARROW: lambda: profiled(port, workers, options, NARROW, hits),
            '**': lambda: profiled(port, workers, options, '**', hits),
        }
        runs = {name: [] for name in variants}
        load(port)  # imports, caches
        for turn in range(options.runs):
            for name in (list(variants) * 2)[turn % 4:turn % 4 + 4]:
                runs[name].append(variants[name]())
    rows = [['', 'requests/s', 'times slower', 'times slower than the floor']]
    for name in variants:
        rows.append([name, summary(runs[name], '%.0f')] +
                    [summary(ratios(runs[base], runs[name])) for base in ('not watched', 'floor')])
    table(rows)
    print('Probe hits of a page: %s, two for each Python call.' % summary(hits, '%.0f'))
    about = 'import django, sys; print("Python", sys.version.split()[0], "Django", django.get_version())'
    print(subprocess.run([PYTHON, '-c', about], stdout=subprocess.PIPE, text=True).stdout.strip())
