"""inspect_run: runs drive() of a module again and again, for test_inspect; or once under sys.settrace, to say what is right.

    inspect_run.py MODULE.py NAME           says 'ready', and 'done' after each round; a round begins when it reads a byte
    inspect_run.py MODULE.py NAME --truth   prints a line of JSON for each thing that happens to a line of a function of it

The module is imported as NAME. A line of the truth: [what, name of the function, line, its first line, variables]; `what` is 'enter', or 'leave': by going
on to another line, or by returning; not by an exception that leaves the frame. `variables` are the frame's, and the globals that its code
names, in the form of the json output.
"""
import importlib.util
import json
import os
import sys
import types

CONTAINERS = (list, tuple, set, frozenset)
DEPTH = 4


def form(value, depth=DEPTH, above=()):
    """The value as json output shows it, where that is simple; of others the type alone."""
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == 'builtins' else kind.__module__ + '.' + kind.__qualname__
    if value is None or kind in (bool, str) or kind is int and abs(value) <= 1 << 53 or kind is float:
        return value
    if kind is int:
        return {'type': 'int', 'repr': repr(value)}
    if any(value is v for v in above):
        return {'cut': True, 'again': True}
    if depth == 0:
        return {'cut': True}

    def inside(v):
        return form(v, depth - 1, above + (value,))

    if kind in CONTAINERS:
        return {'type': name, 'items': [inside(v) for v in value], 'total': len(value)}
    if kind is dict:
        return {'type': name, 'items': [[inside(k), inside(v)] for k, v in value.items()], 'total': len(value)}
    if kind.__module__ == NAME and not isinstance(value, type):
        attrs = dict(getattr(value, '__dict__', {}))
        attrs.update((slot, getattr(value, slot)) for slot in getattr(kind, '__slots__', ()) if hasattr(value, slot))
        # What stands in the class is found by a dotted name too.
        shared = {k: v for k, v in vars(kind).items() if isinstance(v, (int, str)) and not k.startswith('__')}
        return {'type': name, 'attrs': {k: inside(v) for k, v in attrs.items()}, 'class': shared}
    return {'type': name}


class Frame:
    """What is known of a frame: the line that it is in."""

    def __init__(self):
        self.line = 0
        self.raised = False


class Recorder:
    def __init__(self, path):
        import opcode
        self.path = path
        self.opname = opcode.opname
        self.frames = {}
        self.events = []

    def variables(self, frame):
        found = {name: form(frame.f_globals[name]) for name in frame.f_code.co_names if name in frame.f_globals}
        found.update((name, form(value)) for name, value in frame.f_locals.items())
        return found

    def say(self, what, frame, line):
        self.events.append([what, frame.f_code.co_name, line, frame.f_code.co_firstlineno, self.variables(frame)])

    def call(self, frame, event, arg):
        if frame.f_code.co_filename != self.path:
            return None
        if frame not in self.frames:
            self.frames[frame] = Frame()
        return self.local

    def local(self, frame, event, arg):
        known = self.frames[frame]
        if event == 'line':
            if known.line:
                self.say('leave', frame, known.line)
            known.line = frame.f_lineno
            self.say('enter', frame, known.line)
            known.raised = False
        elif event == 'exception':
            known.raised = True
        elif event == 'return':
            returns = self.opname[frame.f_code.co_code[frame.f_lasti]].startswith('RETURN')
            if returns:
                self.say('leave', frame, known.line)
            # 'raised' alone tells nothing: settrace also tells of the StopIteration that ends a loop.
            if returns or known.raised and arg is None:
                del self.frames[frame]
        return self.local


def load(path):
    spec = importlib.util.spec_from_file_location(NAME, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[NAME] = module
    spec.loader.exec_module(module)
    return module


def truth(module, path):
    module.drive()
    recorder = Recorder(path)
    sys.settrace(recorder.call)
    try:
        module.drive()
    finally:
        sys.settrace(None)
    for event in recorder.events:
        print(json.dumps(event))


def disturb(how):
    """What others may have set up in a process before it is looked at."""
    if how == 'settrace':
        def local(frame, event, arg):
            return local
        sys.settrace(local)
    elif how == 'opcodes':
        def local_opcodes(frame, event, arg):
            frame.f_trace_opcodes = True
            return local_opcodes
        sys.settrace(local_opcodes)
    elif how == 'cprofile':
        import cProfile
        cProfile.Profile().enable()
    elif how == 'monitoring':
        events, nothing = sys.monitoring.events, lambda *what: None
        sys.monitoring.use_tool_id(4, 'inspect_run')
        for event in (events.LINE, events.INSTRUCTION, events.PY_START, events.PY_RETURN, events.JUMP, events.BRANCH, events.CALL):
            sys.monitoring.register_callback(4, event, nothing)
        sys.monitoring.set_events(4, events.LINE | events.INSTRUCTION | events.PY_START | events.PY_RETURN | events.JUMP
                                  | events.CALL)


def main():
    global NAME
    path, NAME = sys.argv[1:3]
    module = load(path)
    how = sys.argv[3] if len(sys.argv) > 3 else None
    if how == '--truth':
        return truth(module, path)
    disturb(how)
    os.write(1, b'ready\n')
    while os.read(0, 1):
        module.drive()
        os.write(1, b'done\n')
    sys.settrace(None)


if __name__ == '__main__':
    main()
