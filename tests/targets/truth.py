"""truth: what a program really called, written down by the interpreter itself (PyEval_SetProfile).

Runs inside the twin of a target, under any Python from 3.8 on. Owns the definition of a start and of an end by exception
in the tests; knows nothing of pylu-bpf.

Why PyEval_SetProfile through ctypes and not sys.setprofile: what sys.setprofile puts around a Python function copies the
running frame's variables into a dict at each event (to 3.12). Objects live longer then, and their finalisers run inside the
profile function, where nothing is seen: the programs' own counters showed it. It also gives None for "no value".

A call starts when the body of a function begins. What the interpreter reports as a call is more than that; tried on 3.8.18,
3.9.18, 3.10.13, 3.11.2, 3.11.7, 3.12.1 and 3.13.0:

- a plain function (no generator, coroutine or async generator) gives one for each start;
- a generator gives one for each resumption and for each throw(), close() and finalisation that enters its frame:
    to 3.10   f_lasti is -1 at the start, and also when an exception is thrown into a generator that has not started. In
              the second case nothing of the body runs, and the return that follows finds f_lasti still at -1: the start is
              taken back then;
    from 3.11 f_lasti is at a RESUME at starts and resumptions, with the argument & 3 == 0 at starts alone. After a
              throw() it is at RETURN_GENERATOR (3.11, 3.12) or the POP_TOP behind it (3.13) in a generator that has not
              started, and in one that has at YIELD_VALUE, the jump of a `yield from` loop, or the RESUME behind them
              (3.13), whose argument & 3 is not 0. (3.15: & 7, and a generator expression has a RESUME with 4 before
              it makes its generator: no start, and not yet the generator's frame.)
- `gen.close()` on a generator that has not started enters the frame to 3.11 and does not from 3.12 on; 3.13 does not
  enter it either when it is suspended outside of any try block. There is no start in either case.

From 3.14 on close() spares a generator that stands outside of any try block the exception, unless somebody watches, as we
do here: such ends are listed in `spared`. aclose() spares nobody, and looks the same from here.

A return comes with NULL when an exception ends the frame, but with None in 3.12, where the instruction at f_lasti must tell:
at a return opcode it is a return of None, at any other an exception, unless the code yields None just there. That cannot be
told, and such functions are listed in `unsure`, except in files of which the caller promises that they never yield None.
"""
import ctypes
import json
import opcode
import sys
import threading

GENERATOR = 0x20 | 0x80 | 0x200  # CO_GENERATOR, CO_COROUTINE, CO_ASYNC_GENERATOR
RESUME = opcode.opmap.get('RESUME')
# Include/internal/pycore_opcode_utils.h: RESUME_OPARG_LOCATION_MASK, RESUME_OPARG_DEPTH1_MASK
AT_START = 7 if sys.version_info >= (3, 15) else 3
OUTSIDE_TRY = 8 if sys.version_info >= (3, 15) else 4
SPARES = sys.version_info >= (3, 14)
TOOL = 4
RETURNS = {opcode.opmap[name] for name in ('RETURN_VALUE', 'RETURN_CONST') if name in opcode.opmap}
YIELDS = {opcode.opmap[name] for name in ('YIELD_VALUE', 'RESUME') if name in opcode.opmap}

CALL, RETURN = 0, 3  # PyTrace_CALL, PyTrace_RETURN
NONE = id(None)
NONE_AT_UNWIND = sys.version_info[:2] == (3, 12)
PROFILE_FUNCTION = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.py_object, ctypes.py_object, ctypes.c_int, ctypes.c_void_p)


def key_of(code):
    return code.co_filename, code.co_firstlineno, code.co_name


# id(frame) -> (node, key) of all threads: a frame keeps its object, once made, until it ends, and one thread's generator may
# be finalised by another.
node_of = {}
spared = []  # keys of generators that close() would have ended without an exception


def on_throw(code, offset, exception):
    text = code.co_code
    if type(exception) is GeneratorExit and text[offset] == RESUME and text[offset + 1] & OUTSIDE_TRY:
        spared.append(key_of(code))


def in_creation(code, lasti):
    """From 3.11 on: whether a generator's frame stands before the RESUME of its start."""
    text = code.co_code
    for i in range(0, len(text), 2):
        if text[i] == RESUME and not text[i + 1] & AT_START:
            return lasti < i
    return False


class Recorder:
    """The call tree of one thread. A node is a list: [parent node, key, starts, ends by exception, children by key]."""

    def __init__(self):
        self.root = [None, None, 0, 0, {}]
        self.about = {}    # (key, qualified name or None) -> [module, flags]; two code objects of a line may share the key
        self.unsure = set()

    def child(self, node, key):
        found = node[4].get(key)
        if found is None:
            found = node[4][key] = [node, key, 0, 0, {}]
        return found

    def node_for(self, frame):
        """The node of a frame that is on the stack. Frames that started before us get one without a start."""
        missing = []
        while frame is not None:
            code = frame.f_code
            if code.co_flags & GENERATOR and RESUME is not None and in_creation(code, frame.f_lasti):
                frame = frame.f_back
                continue
            key = key_of(code)
            known = node_of.get(id(frame))
            if known is not None and known[1] == key:
                node = known[0]
                break
            missing.append((frame, key))
            frame = frame.f_back
        else:
            node = self.root
        for frame, key in reversed(missing):
            node = self.child(node, key)
            node_of[id(frame)] = node, key
        return node

    def started(self, frame, code, key):
        parent = frame.f_back
        node = self.child(self.root if parent is None else self.node_for(parent), key)
        node[2] += 1
        node_of[id(frame)] = node, key
        named = key, getattr(code, 'co_qualname', None)
        if named not in self.about:
            self.about[named] = [frame.f_globals.get('__name__'), code.co_flags]

    def ended(self, frame, code, arg):
        """After a return with NULL or, in 3.12, with None."""
        lasti = frame.f_lasti
        text = code.co_code
        if code.co_flags & GENERATOR:
            if RESUME is None and lasti == -1:  # thrown into before its start: take the start back
                self.node_for(frame)[2] -= 1
                return
            if RESUME is not None and in_creation(code, lasti):
                return
        if arg is not None:
            if text[lasti] in RETURNS:
                return
            if code.co_flags & GENERATOR and text[lasti] in YIELDS:
                self.unsure.add(key_of(code))
        self.node_for(frame)[3] += 1

    def event(self, _, frame, what, arg):
        if what == CALL:
            code = frame.f_code
            if code.co_flags & GENERATOR:
                lasti = frame.f_lasti
                if RESUME is None:
                    if lasti != -1:
                        return 0
                else:
                    text = code.co_code
                    if text[lasti] != RESUME or text[lasti + 1] & AT_START:
                        return 0
            self.started(frame, code, key_of(code))
        elif what == RETURN and (arg is None or NONE_AT_UNWIND and arg == NONE):
            self.ended(frame, frame.f_code, arg)
        return 0


class Truth:
    def __init__(self):
        self.recorders = []
        self.local = threading.local()

    def begin(self):
        """Starts to record the calling thread."""
        mine = Recorder()
        self.recorders.append(mine)  # atomic
        self.local.callback = PROFILE_FUNCTION(mine.event)
        self.resume()

    def start(self):
        if SPARES:
            sys.monitoring.use_tool_id(TOOL, 'truth')
            sys.monitoring.register_callback(TOOL, sys.monitoring.events.PY_THROW, on_throw)
            sys.monitoring.set_events(TOOL, sys.monitoring.events.PY_THROW)

        def first_event(frame, what, arg):
            self.begin()
            self.local.callback(None, frame, CALL if what == 'call' else -1, NONE)

        threading.setprofile(first_event)
        self.begin()

    def stop(self):
        self.pause()
        if SPARES:
            sys.monitoring.set_events(TOOL, 0)
        threading.setprofile(None)

    def pause(self):
        """For code in which the profile function would be in the way: at the recursion limit it has no room to run."""
        ctypes.pythonapi.PyEval_SetProfile(None, None)

    def resume(self):
        ctypes.pythonapi.PyEval_SetProfile(self.local.callback, ctypes.py_object(None))

    def result(self, wanted, never_none):
        """The trees of all threads as one. `wanted(file)`: the starts in this file are to be compared. `never_none(file)`:
        nothing in it yields None. What happened inside truth.py is left out."""
        keys, index, nodes, place = [], {}, [], {(): -1}
        about, unsure = {}, set()
        for rec in self.recorders:
            about.update(rec.about)
            unsure |= rec.unsure

        def number(key):
            if key not in index:
                index[key] = len(keys)
                keys.append(list(key))
            return index[key]

        for rec in self.recorders:
            stack = [(rec.root, -1)]
            while stack:
                node, at = stack.pop()
                for key, child in node[4].items():
                    if key[0] == __file__:
                        continue
                    spot = at, number(key)
                    if spot not in place:
                        place[spot] = len(nodes)
                        nodes.append([at, spot[1], 0, 0])
                    mine = nodes[place[spot]]
                    mine[2] += child[2]
                    mine[3] += child[3]
                    stack.append((child, place[spot]))
        wanted_keys = [i for i, key in enumerate(keys) if wanted(key[0])]
        names = [[number(key), qualname, module, flags] for (key, qualname), (module, flags) in about.items()]
        quiet = {}
        for key in spared:
            if key in index:
                quiet[index[key]] = quiet.get(index[key], 0) + 1
        return {'version': sys.version.split()[0], 'keys': keys, 'names': names, 'nodes': nodes, 'compare': wanted_keys, 'spared': sorted(quiet.items()),
                'unsure': sorted(index[key] for key in unsure if key in index and not never_none(key[0]))}


def dump(result, path):
    with open(path, 'w') as out:
        json.dump(result, out)
