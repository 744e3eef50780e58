"""A program with an agent in it that does what it is told: each line of its input is an expression, whose value it says.

    cli_work.py [--fork N]    with N workers that do the same: 'N: expression' goes to the N-th, '0: ' or none to the master
"""
import os
import sys
import threading

import cli_shop

import pylu_agent


def background(function, *args):
    """Runs it in a thread."""
    thread = threading.Thread(target=function, args=args, daemon=True)
    thread.start()
    return thread.name


workers = []
names = {'shop': cli_shop, 'background': background, 'os': os, 'sys': sys, 'agent': pylu_agent}


def answer(line):
    try:
        return 'said %r\n' % (eval(line, names),)
    except Exception as error:
        return 'said %s: %s\n' % (type(error).__name__, error)


class Worker:
    """A forked child that answers by two pipes."""

    def __init__(self):
        ours, theirs = os.pipe(), os.pipe()
        self.pid = os.fork()
        if not self.pid:
            os.close(ours[1])
            os.close(theirs[0])
            self.work(os.fdopen(ours[0]), os.fdopen(theirs[1], 'w'))
        os.close(ours[0])
        os.close(theirs[1])
        self.write, self.read = os.fdopen(ours[1], 'w'), os.fdopen(theirs[0])

    @staticmethod
    def work(read, write):
        while True:
            line = read.readline()
            if not line:
                os._exit(0)
            write.write(answer(line))
            write.flush()

    def ask(self, line):
        self.write.write(line)
        self.write.flush()
        return self.read.readline()


def fork():
    workers.append(Worker())
    return workers[-1].pid


def main():
    pylu_agent.start()
    names.update(fork=fork, workers=workers)
    print('ready', *[fork() for _ in range(int(sys.argv[2]) if len(sys.argv) > 2 else 0)], flush=True)
    for line in sys.stdin:
        number, _, rest = line.partition(': ')
        if number.isdigit() and int(number):
            said = workers[int(number) - 1].ask(rest)
        else:
            said = answer(rest if number.isdigit() else line)
        sys.stdout.write(said)
        sys.stdout.flush()


main()
