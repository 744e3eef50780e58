#!/usr/bin/env python3
"""agent/py.h declares by itself what it uses of an interpreter. Here the declarations are held against each interpreter's own headers, and
the names against what it exports."""
import os
import re
import subprocess

import harness
from harness import Skipped, Suite, check

HEADER = os.path.join(harness.ROOT, 'agent', 'py.h')
# Structs that are plain objects in py.h, which has no use for their fields: functions with them are not compared.
OBJECTS = ('PyFrameObject', 'PyGenObject', 'PyCodeObject')
MORE_CONST = 'PyArg_ParseTupleAndKeywords'  # from 3.13 on: the same otherwise
ONLY_MACROS = ['Py_CompileString']  # up to 3.9 for who includes all; exported nevertheless
LAYOUTS = {
    'PyMethodDef': 'ml_name ml_meth ml_flags ml_doc',
    'PyModuleDef': 'm_base m_name m_doc m_size m_methods m_slots m_traverse m_clear m_free',
    'PyModuleDef_Base': 'ob_base m_init m_index m_copy',
    'PyType_Slot': 'slot pfunc',
    'PyType_Spec': 'name basicsize itemsize flags slots',
}
CONSTANTS = ('METH_VARARGS METH_KEYWORDS METH_NOARGS METH_O Py_LT Py_LE Py_EQ Py_NE Py_GT Py_GE Py_file_input Py_eval_input Py_tp_call '
             'Py_tp_dealloc Py_tp_doc Py_tp_new Py_tp_methods Py_tp_traverse Py_tp_clear Py_tp_repr Py_TPFLAGS_HAVE_GC '
             'PYTHON_API_VERSION PyGILState_LOCKED PyGILState_UNLOCKED sizeof(PyGILState_STATE) sizeof(Py_ssize_t)').split()


def names(macro):
    with open(HEADER) as f:
        body = re.search(r'#define %s\(X\)(.*?[^\\])\n' % macro, f.read(), re.S).group(1)
    body = re.sub(r'/\*.*?\*/', '', body)
    return re.findall(r'X\([^()]*?(\w+), \(', body) or re.findall(r'X\((\w+)\)', body)


def compiler(folder, text, python, *options):
    """The compiler's output. Debian's pyconfig.h is where only the root's own compiler would look."""
    if not python.include or not os.path.exists(os.path.join(python.include, 'Python.h')):
        raise Skipped('its headers are not here')
    source = os.path.join(folder, 'a.c')
    with open(source, 'w') as f:
        f.write(text)
    done = subprocess.run(['cc', '-std=gnu11', '-w', '-I', python.include, '-idirafter', os.path.dirname(python.include), '-iquote',
                           os.path.dirname(HEADER), source] + list(options), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          universal_newlines=True)
    check(done.returncode == 0, done.stderr[-3000:])
    return done.stdout


def declared(folder, python):
    """Both headers in one file: each function has the same type in both."""
    said = compiler(folder, '#include <Python.h>\n', python, '-E', '-P')
    declarations = {name: one for one in re.split('[;{}]', said) for name in re.findall(r'(\w+)\s*\(', one) if 'Py' in name}
    wanted, compared = names('PY_FUNCTIONS') + names('PY_OPTIONAL'), 0
    text = '#include <Python.h>\n%s\n#include "py.h"\n' % '\n'.join('#undef ' + name for name in wanted)
    for name in wanted:
        found = declarations.get(name)
        if not found:
            check(name in names('PY_OPTIONAL') + ONLY_MACROS, '%s is not declared' % name)
        elif name != MORE_CONST and not any(word in found for word in OBJECTS):
            compared += 1
            text += ('_Static_assert(__builtin_types_compatible_p(__typeof__(&%s), __typeof__(py.%s)), "it differs");\n' % (name, name))
    compiler(folder, text, python, '-fsyntax-only')
    return '%d functions of %d' % (compared, len(wanted))


def laid_out(folder, python):
    body = ''.join('printf("%s %%zu", sizeof(%s));' % (name, name) +
                   ''.join('printf(" %%zu", offsetof(%s, %s));' % (name, field) for field in fields.split()) + 'puts("");'
                   for name, fields in LAYOUTS.items())
    body += ''.join('printf("%s %%ld\\n", (long)%s);' % (name, name) for name in CONSTANTS)
    main = '#include <stdio.h>\n#include <stddef.h>\nint main(void) { %s return 0; }\n' % body
    said = []
    for header in '<Python.h>', '"py.h"':
        program = os.path.join(folder, 'a.out')
        compiler(folder, '#include %s\n' % header + main, python, '-o', program)
        said.append(subprocess.run([program], stdout=subprocess.PIPE, check=True, universal_newlines=True).stdout)
    check(said[0] == said[1] and len(said[0].splitlines()) == len(LAYOUTS) + len(CONSTANTS), 'Python.h: %s\npy.h: %s' % tuple(said))


def exported(folder, python):
    """What the interpreter says itself: all names are found in it."""
    wanted = names('PY_FUNCTIONS') + names('PY_TYPES') + names('PY_EXCEPTIONS') + ['_Py_NoneStruct', '_Py_TrueStruct', '_Py_FalseStruct']
    script = 'import ctypes\nfor name in %r:\n  ctypes.c_char.in_dll(ctypes.pythonapi, name)\nprint("all")' % (wanted,)
    done = subprocess.run(python.command + ['-c', script], stdout=subprocess.PIPE, stderr=subprocess.PIPE, universal_newlines=True)
    check(done.stdout == 'all\n', done.stderr)
    return '%d names' % len(wanted)


def main():
    suite = Suite(__doc__)
    suite.start(needs_root=False)
    for python in suite.interpreters():
        for case in declared, laid_out, exported:
            suite.run('%s: %s' % (python.name, case.__name__), case, python, python=python)
    suite.finish()


if __name__ == '__main__':
    main()
