#!/usr/bin/env python3
"""Interpreters inside other programs: a web server, an editor, a debugger, a database. What they counted themselves is what
must be counted, and their libpython is proved though they are no Python."""
import glob
import json
import os
import pwd
import re
import shutil
import socket
import subprocess
import threading

import cases
import harness
import places
from cases import PRELUDE, Result, case, sound, write
from harness import Failed, Reader, Skipped, Target, check

PROGRAM = PRELUDE + '''
import json
count = {'leaf': 0, 'gen': 0, 'pay': 0, 'inner': 0}
def leaf():
    count['leaf'] += 1
def gen(n):
    count['gen'] += 1
    for i in range(n): yield i
class Till:
    def pay(self):
        count['pay'] += 1
        leaf()
def outer():
    def inner():
        count['inner'] += 1
    inner()
gate('ready')
for i in range(500):
    Till().pay(); leaf(); outer(); sum(gen(3))
gate('done', json.dumps(count).replace(' ', ''))
'''


def whole(folder, command, path):
    """Profiles a program that runs PROGRAM."""
    target = Target(command, cwd=folder)
    target.expect('ready')
    at = places.session(folder, ['-p', str(target.pid), '__main__']).watching()
    target.go()
    counted = json.loads(target.expect('done'))
    profile = at.stop()
    target.go()
    target.finish()
    sound(profile, False)
    check(counted == {'leaf': 1000, 'gen': 500, 'pay': 500, 'inner': 500}, 'the program counted %s' % counted)
    hits = {}
    for _, key, call in Result(profile, path, target.pid).nodes:
        name = key[2].split('.')[-1]
        hits[name] = hits.get(name, 0) + call['hits']
    hits = {name: hits.get(name, 0) for name in counted}
    check(hits == counted, 'pylu-bpf %s, right is %s' % (hits, counted))
    return places.check_proved(at, profile)


@case
def gdb(folder, python):
    places.need('gdb')
    done = subprocess.run(['gdb', '-nx', '-batch', '-ex', 'python print("has it")'], stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    if b'has it' not in done.stdout:
        raise Skipped('gdb has no Python')
    path = write(folder, 'target.py', PROGRAM)
    return whole(folder, ['gdb', '-nx', '-batch', '-ex', 'source %s' % path], path)


@case
def vim(folder, python):
    program = shutil.which('vim.nox') or shutil.which('vim') or 'vim'
    places.need(program)
    done = subprocess.run([program, '--version'], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    if not re.search(rb'\+python3\b', done.stdout):
        raise Skipped('vim has no Python')
    path = write(folder, 'target.py', PROGRAM)
    return whole(folder, [program, '-u', 'NONE', '-i', 'NONE', '-n', '-es', '-c', 'py3file %s' % path, '-c', 'qa!'], path)


APPLICATION = '''
import json, os, threading
counted, lock = {'work': 0, 'leaf': 0, 'application': 0}, threading.Lock()
def count(name):
    with lock:
        counted[name] += 1
def leaf():
    count('leaf')
def work(n):
    count('work')
    for i in range(n): leaf()
def application(environ, start_response):
    count('application')
    if environ['PATH_INFO'] != '/none':
        work(int(environ['PATH_INFO'][1:]))
    start_response('200 OK', [('Content-Type', 'application/json'), ('Connection', 'close')])
    with lock:
        return [json.dumps([os.getpid(), counted]).encode()]
'''
REQUESTS, CLIENTS = 50, 4


def ask(path, what):
    """One HTTP request by a Unix socket; the JSON that it is answered with."""
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(harness.PATIENCE)
    connection.connect(path)
    connection.sendall(b'GET /%s HTTP/1.0\r\n\r\n' % str(what).encode())
    answer = b''
    while True:
        data = connection.recv(65536)
        if not data:
            break
        answer += data
    connection.close()
    head, _, body = answer.partition(b'\r\n\r\n')
    check(b' 200 ' in head.split(b'\r\n')[0], 'the server answered %r' % answer[:200])
    return json.loads(body.decode())


def ask_many(path, said, failed):
    """Adds to `said` what each request was answered with."""
    try:
        for n in range(REQUESTS):
            said.append(ask(path, n % 20))
    except (Failed, OSError, ValueError) as error:
        failed.append(error)


@case
def uwsgi(folder, python):
    """Two workers with two threads each, below a master."""
    places.need('uwsgi')
    path = write(folder, 'shop.py', APPLICATION)
    sock = os.path.join(folder, 'socket')
    process = subprocess.Popen(['uwsgi', '--plugin', 'python3', '--http-socket', sock, '--wsgi-file', path, '--master',
                                '--processes', '2', '--threads', '2', '--die-on-term', '--need-app', '--no-orphans'],
                               cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                               preexec_fn=harness.die_with_parent)
    harness.running.append(process)
    lines = Reader(process.stdout)
    for worker in 'spawned uWSGI worker 1', 'spawned uWSGI worker 2':
        if lines.wait_for(worker) is None:
            if 'unable to load' in lines.text() or 'unrecognized option' in lines.text():
                raise Skipped('uwsgi has no Python: %s' % lines.text()[-300:])
            raise Failed('uwsgi did not start: %s' % lines.text()[-2000:])
    # A worker says that it was spawned before it can answer: each must have, once, before anything is counted.
    before = {}
    while len(before) < 2:
        pid, counted = ask(sock, 'none')
        before[pid] = counted['application']
    at = places.session(folder, ['--tree', str(process.pid), '**.application', '**.work', '**.leaf']).watching()
    said, failed = [], []
    clients = [threading.Thread(target=ask_many, args=(sock, said, failed)) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    profile = at.stop()
    process.terminate()
    harness.ended(process, 'uwsgi')
    check(not failed, 'a request failed: %s' % failed)
    sound(profile, False)
    check(len(said) == REQUESTS * CLIENTS, '%d requests' % len(said))
    for pid in before:
        # What was counted at last is what its latest answer told: counts only grow.
        counted = max((counted for p, counted in said if p == pid), key=lambda c: c['application'], default=None)
        check(counted, 'worker %d had no request' % pid)
        leaf, work = max(c['leaf'] for p, c in said if p == pid), max(c['work'] for p, c in said if p == pid)
        Result(profile, path, pid).expect({'application': counted['application'] - before[pid], 'work': work, 'leaf': leaf})
    return places.check_proved(at, profile)


SETUP = '''
create extension plpython3u;
create function work(n int) returns int as $$
count = GD.setdefault('count', [0, 0])
def leaf():
    count[0] += 1
def gen(n):
    count[1] += 1
    for i in range(n): yield i
for i in gen(n):
    leaf()
return n
$$ language plpython3u;
create function counted() returns text as $$
return '%d %d' % tuple(GD['count'])
$$ language plpython3u;
select work(3);
'''


class Database:
    """A throw-away PostgreSQL in a folder, reached by a socket there, and one connection to it."""

    def __init__(self, folder):
        found = sorted(glob.glob('/usr/lib/postgresql/*/bin/initdb'), key=lambda p: int(p.split('/')[4]))
        if not found:
            raise Skipped('PostgreSQL is not installed')
        self.bin = os.path.dirname(found[-1])
        if not glob.glob('/usr/lib/postgresql/%s/lib/plpython3.so' % found[-1].split('/')[4]):
            raise Skipped('PL/Python is not installed')
        try:
            self.uid = pwd.getpwnam('postgres').pw_uid
        except KeyError:
            raise Skipped('there is no user postgres, and PostgreSQL does not run as root')
        places.open_to_all(folder)
        self.folder = os.path.join(folder, 'database')
        os.mkdir(self.folder)
        os.chown(self.folder, self.uid, self.uid)
        self.as_user = {'preexec_fn': places.become(self.uid), 'cwd': self.folder,
                        'env': {'PATH': os.environ['PATH'], 'LANG': 'C', 'HOME': self.folder}}
        places.run([self.bin + '/initdb', '-A', 'trust', '-N', '-D', self.folder + '/data'], **self.as_user)
        self.server = subprocess.Popen([self.bin + '/postgres', '-D', self.folder + '/data', '-k', self.folder, '-h', '', '-F'],
                                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                       **self.as_user)
        harness.running.append(self.server)
        self.log = Reader(self.server.stdout)
        self.answers = 0
        while not any('ready to accept connections' in line for line in self.log.lines):
            check(self.server.poll() is None, 'PostgreSQL did not start: %s' % self.log.lines[-5:])
            with self.log.changed:
                self.log.changed.wait(0.05)
        self.client = subprocess.Popen([self.bin + '/psql', '-X', '-q', '-A', '-t', '-h', self.folder, 'postgres'],
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **self.as_user)
        harness.running.append(self.client)
        self.said = Reader(self.client.stdout)

    def do(self, text):
        """Runs commands. The lines that they answer."""
        self.answers += 1
        before = len(self.said.lines)
        self.client.stdin.write(('%s\n\\echo end %d\n' % (text, self.answers)).encode())
        self.client.stdin.flush()
        check(self.said.wait_for('end %d' % self.answers) is not None, 'psql ended: %s' % self.said.lines[-5:])
        return [line for line in self.said.lines[before:] if not line.startswith('end ')]

    def stop(self):
        self.client.stdin.close()
        harness.ended(self.client, 'psql')
        self.server.terminate()
        harness.ended(self.server, 'PostgreSQL')


@case
def plpython(folder, python):
    """A server process of PostgreSQL: another user's, and the library was loaded in mid-flight."""
    database = Database(folder)
    pid = int(database.do('select pg_backend_pid();')[0])
    said = database.do(SETUP)
    check(said == ['3'], 'PostgreSQL said %s' % said)
    before = [int(n) for n in database.do('select counted();')[0].split()]
    at = places.session(folder, ['-p', str(pid), '**.leaf', '**.gen']).watching()
    for n in 100, 200, 300:
        check(database.do('select work(%d);' % n) == [str(n)], 'work(%d)' % n)
    counted = [int(n) for n in database.do('select counted();')[0].split()]
    profile = at.stop()
    database.stop()
    sound(profile, False)
    hits = {}
    for _, key, call in Result(profile, None, pid).nodes:
        name = key[2].split('.')[-1]
        hits[name] = hits.get(name, 0) + call['hits']
    right = {'leaf': counted[0] - before[0], 'gen': counted[1] - before[1]}
    check(right == {'leaf': 600, 'gen': 3}, 'the functions counted %s' % right)
    check(hits == right, 'pylu-bpf %s, right is %s' % (hits, right))
    return places.check_proved(at, profile)


if __name__ == '__main__':
    # They bring their own Python.
    cases.main(__doc__, once={gdb, vim, uwsgi, plpython})
