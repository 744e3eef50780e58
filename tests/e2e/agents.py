"""agents: what the tests of pylu-cli share: targets with an agent in them, and pylu-cli's commands."""
import ast
import json
import os
import shutil
import subprocess
import sys

from harness import PATIENCE, ROOT, TARGETS, Skipped, Target, check

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))


def pylu_cli():
    path = os.environ.get('PYLU_CLI') or os.path.join(ROOT, 'build', 'cli', 'pylu-cli')
    if not os.access(path, os.X_OK):
        raise Skipped('%s is not there; set PYLU_CLI' % path)
    return path


def library(folder):
    """Puts the agent into a folder that is at the same place in every root, to be imported from there. It is open to all users."""
    path = os.environ.get('PYLU_AGENT') or os.path.join(ROOT, 'build', 'agent', 'libpylu_agent.so')
    if not os.access(path, os.R_OK):
        raise Skipped('%s is not there; set PYLU_AGENT' % path)
    os.chmod(folder, 0o755)
    copy = os.path.join(folder, 'pylu_agent.so')
    if not os.path.exists(copy):
        shutil.copyfile(path, copy)
        os.chmod(copy, 0o755)
    return folder


class Work(Target):
    """tests/targets/cli_work.py, or another program that answers so."""

    def __init__(self, folder, python, *arguments, program='cli_work.py', **more):
        environment = dict(os.environ, PYTHONPATH=library(folder), PYTHONDONTWRITEBYTECODE='1')
        super().__init__(python.command + ['-u', os.path.join(TARGETS, program)] + [str(a) for a in arguments],
                         env=environment, **more)
        self.workers = [int(word) for word in self.expect('ready').split()]

    def ask(self, expression, worker=0):
        """The value that it has in the target, or a text for an exception."""
        self.process.stdin.write(('%d: %s\n' % (worker, expression)).encode())
        self.process.stdin.flush()
        said = self.expect('said')
        try:
            return ast.literal_eval(said)
        except (ValueError, SyntaxError):
            return said

    def expect_value(self, expression, value, worker=0):
        got = self.ask(expression, worker)
        check(got == value, '%s is %r, not %r' % (expression, got, value))


class Done:
    """What a command said."""

    def __init__(self, status, out, errors):
        self.status, self.out, self.errors = status, out, errors

    @property
    def json(self):
        try:
            return json.loads(self.out)
        except ValueError:
            check(False, 'no JSON: %r, and %r' % (self.out[:500], self.errors[:500]))


def cli(*arguments, status=0, **more):
    """Runs a command, which must end with `status`."""
    command = more.pop('prefix', []) + [pylu_cli()] + [str(a) for a in arguments]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          timeout=PATIENCE, **more)
    result = Done(done.returncode, done.stdout.decode('utf-8', 'replace'), done.stderr.decode('utf-8', 'replace'))
    check(result.status == status, '%s ended with %d, not %d: %s%s'
          % (' '.join(command[-len(arguments) - 1:]), result.status, status, result.out[-2000:], result.errors[-2000:]))
    return result


def cli_json(*arguments, status=0, **more):
    """The same, as JSON, which must be as the schema has it."""
    done = cli(arguments[0], '-f', 'json', *arguments[1:], status=status, **more)
    document = done.json
    validate(document)
    check(document['exit_status'] == status, 'exit status %d, and it says %d' % (status, document['exit_status']))
    check(not done.errors, 'with -f json it said on stderr: %s' % done.errors)
    return document


validator = None


def validate(document):
    """By docs/patches.schema.json, where jsonschema is there."""
    global validator
    if validator is None:
        try:
            import jsonschema
        except ImportError:
            validator = False
            print('SKIP: python3-jsonschema is not installed: json is not checked against its schema', flush=True)
            return
        with open(os.path.join(ROOT, 'docs', 'patches.schema.json')) as f:
            validator = jsonschema.Draft202012Validator(json.load(f))
    if validator:
        errors = ['/%s: %s' % ('/'.join(map(str, e.absolute_path)), e.message[:300]) for e in validator.iter_errors(document)]
        check(not errors, 'not as the schema has it: %s' % '; '.join(errors[:5]))


def write(folder, name, text, mode='w'):
    path = os.path.join(folder, name)
    with open(path, mode) as f:
        f.write(text)
    return path
