"""mixtures: a target that does one of the things that are hard to watch, one unit of it each time it is told to.

    mixtures.py NAME [--scale N]        mixtures.py --names

Says 'mixture ready', or 'mixture absent REASON' where a module is missing, and reads stdin: for each byte it runs one unit
and says 'done COUNTS', until stdin is closed. COUNTS is JSON: how often each function was called since the process began
(`own`), the same in its children (`children`), and how many of these calls an exception ended (`raised`, only functions
that were asked about). Functions that count themselves are named x_...; no others are. A unit checks its own answers and a
wrong one ends the process with a traceback. Runs under any Python from 3.8 on; knows nothing of pylu-bpf.
"""
import argparse
import json
import os
import sys
import warnings

import mixtures_flow  # noqa: F401: it registers mixtures
import mixtures_inside  # noqa: F401
from mixture import MIXTURES, Absent, counts, mixture, state

# What stays in the process and starts no threads: watched as long as one likes, it needs no more room. To 3.10 functions that
# are made again and again are not told to be the same.
IN_TURN = ['asyncio_tasks', 'generators', 'recursion', 'exceptions', 'tracers', 'cprofile', 'debuggers', 'signals', 'evals']
if sys.version_info >= (3, 11):
    IN_TURN += ['code_freed', 'many_functions', 'redefined']


@mixture
def all_in_turn(scale):
    units = [MIXTURES[name](scale) for name in IN_TURN]

    def unit():
        for each in units:
            each()
    return unit


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('name', nargs='?', choices=sorted(MIXTURES))
    parser.add_argument('--names', action='store_true', help='only list the mixtures')
    parser.add_argument('--scale', type=int, default=1)
    parser.add_argument('--state', help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.names:
        print('\n'.join(MIXTURES))
        return
    if not options.name:
        parser.error('no mixture')
    warnings.simplefilter('ignore')
    if options.state:
        state['seen'] = int(options.state)
    try:
        unit = MIXTURES[options.name](options.scale)
    except Absent as reason:
        print('mixture absent %s' % reason)
        return
    word = 'done %s' % json.dumps(counts()) if options.state else 'mixture ready'
    while True:
        os.write(1, word.encode() + b'\n')     # not by a function: it might still be running when we are looked at
        if not os.read(0, 1):
            break
        unit()
        word = 'done %s' % json.dumps(counts())


if __name__ == '__main__':
    main()
