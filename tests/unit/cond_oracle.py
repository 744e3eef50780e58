#!/usr/bin/env python3
"""Holds conditions against Python's own eval: cond_oracle.py UNIT_COND [COUNT [SEED]]; first those of docs/conditions.md.

Random conditions, and damaged ones, are evaluated by `UNIT_COND --eval` and by Python. What we accept Python must accept
too, with the same result; what we refuse must be none for Python either, or use what conditions do not have.
"""
import ast
import os
import random
import re
import subprocess
import sys
import types
import warnings

DOCUMENT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "docs", "conditions.md")
CONSTANTS = ["None", "True", "False", "0", "1", "-1", "10", "-0", "0x10", "0b11", "0o7", "1_000", "9223372036854775807",
             "-9223372036854775808", "0.5", "1.", "-2.5", ".5", "1e3", "1e400", "-1e400", "1E-2", "9223372036854775808.0",
             "9007199254740993", "9007199254740992.0", "''", '"x"', "'abc'", '"it\'s"', r"'a\n\x41\u00e9'", "'caf\u00e9'",
             r"'\U0001f40d'", r"'\uffff'", "'and'", r"'\q\\'", r"'\101'"]
NAMES = ["n", "user", "self.x", "self.child.name", "missing", "self.missing", "and_", "nota", "caf\u00e9", "x1"]
VALUES = [None, True, False, 0, 1, -1, 7, 10, 16, 1000, 2**63 - 1, -2**63, 2**53 + 1, 0.0, -0.0, 0.5, 1.0, 10.0, 2.0**53, 2.0**63,
          -2.0**63, float("inf"), float("-inf"), float("nan"), 1e-9, "", "x", "abc", "ab", "abd", "caf\u00e9", "a\nA\u00e9", "\U0001f40d",
          "\uffff", "it's", "A"]
OPERATORS = ["==", "!=", "<", "<=", ">", ">=", "is", "is not"]
# What a condition may be made of; Python's other expressions are refused.
NODES = (ast.Expression, ast.BoolOp, ast.And, ast.Or, ast.UnaryOp, ast.Not, ast.USub, ast.UAdd, ast.Compare, ast.Eq, ast.NotEq,
         ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Is, ast.IsNot, ast.Name, ast.Attribute, ast.Constant, ast.Load)


class Missing(Exception):
    """A variable that is not there."""


class Rewrite(ast.NodeTransformer):
    """Wraps each comparison and each operand by itself, so that one that raises is false."""

    def wrap(self, node):
        call = ast.parse("test_(lambda: 0)", mode="eval").body
        call.args[0].body = node
        return call

    def visit_Compare(self, node):
        return self.wrap(node)

    visit_Name = visit_Attribute = visit_Constant = visit_Compare

    def visit_UnaryOp(self, node):
        if isinstance(node.op, ast.Not):
            node.operand = self.visit(node.operand)
            return node
        return self.wrap(node)


def test(function):
    try:
        return bool(function())
    except (NameError, AttributeError, TypeError):
        return False


def expression(rng, depth):
    choice = rng.random()
    blank = rng.choice(["", " ", "  ", "\t"])
    if depth == 0 or choice < 0.45:
        parts = [operand(rng)]
        for _ in range(rng.choice([0, 1, 1, 1, 1, 2, 3])):
            parts += [rng.choice(OPERATORS), operand(rng)]
        return " ".join(parts)
    if choice < 0.6:
        return "not " + blank + expression(rng, depth - 1)
    if choice < 0.75:
        return "(" + blank + expression(rng, depth - 1) + blank + ")"
    return expression(rng, depth - 1) + rng.choice([" and ", " or "]) + expression(rng, depth - 1)


def operand(rng):
    text = rng.choice(NAMES) if rng.random() < 0.65 else rng.choice(CONSTANTS)
    return "(" + text + ")" if rng.random() < 0.1 else text


def damage(rng, text):
    for _ in range(rng.choice([1, 1, 2, 3])):
        at = rng.randrange(len(text) + 1)
        piece = rng.choice(["", "", "(", ")", "'", '"', "=", "<", "not ", " and ", ".", "_", "0", "1", "-", "\\", "x", " ", "e", "\u00e9",
                            "[", "]", "in", "*", ",", ":=", "if", "j", "is"])
        text = text[:at] + piece + text[at + rng.choice([0, 1, 2]):]
    return text


def environment(rng):
    values = {name: rng.choice(VALUES) for name in NAMES if "missing" not in name}
    child = types.SimpleNamespace(name=values["self.child.name"])
    variables = {name: value for name, value in values.items() if "." not in name}
    variables["self"] = types.SimpleNamespace(x=values["self.x"], child=child)
    return values, variables


def encode(name, value):
    kind, text = {type(None): ("n", ""), bool: ("b", "%d"), int: ("i", "%d"), float: ("f", "%r"), str: ("s", "")}[type(value)]
    if kind == "s":
        text = value.encode().hex()
    elif text:
        text = text % value
    return "v %s %s %s\n" % (name, kind, text)


def fold(node):
    """What is known without the variables: True, False or None."""
    if isinstance(node, ast.Expression):
        return fold(node.body)
    if isinstance(node, ast.BoolOp):
        parts = [fold(value) for value in node.values]
        decisive = isinstance(node.op, ast.Or)
        return decisive if decisive in parts else None if None in parts else not decisive
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        inner = fold(node.operand)
        return None if inner is None else not inner
    if isinstance(node, ast.Compare):
        sides = [node.left] + node.comparators
        return fold(ast.BoolOp(ast.And(), [ast.Tuple([left, op, right]) for left, op, right in zip(sides, node.ops, sides[1:])]))
    if any(isinstance(part, ast.Name) for part in ast.walk(node)):
        return None
    if isinstance(node, ast.Tuple):
        node = ast.Compare(node.elts[0], [node.elts[1]], [node.elts[2]])
    return test(lambda: eval(compile(ast.fix_missing_locations(ast.Expression(node)), "<constant>", "eval")))


def expected(text, variables):
    """What may be answered: a list, where None stands for a refusal."""
    try:
        tree = ast.parse(text.strip(" \t"), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return [None]
    if any(not isinstance(node, NODES) for node in ast.walk(tree)):
        return [None]
    refusable = False
    identity = False
    for node in ast.walk(tree):
        if isinstance(node, ast.Compare):
            sides = [node.left] + node.comparators
            # A comparison compares variables and constants here, and `is` asks for None, True and False only.
            refusable |= any(isinstance(side, (ast.Compare, ast.BoolOp)) or
                             isinstance(side, ast.UnaryOp) and isinstance(side.op, ast.Not) for side in sides)
            for left, op, right in zip(sides, node.ops, sides[1:]):
                if isinstance(op, (ast.Is, ast.IsNot)):
                    identity |= not any(isinstance(s, ast.Constant) and (s.value is None or isinstance(s.value, bool))
                                        for s in (left, right))
                    refusable |= any(isinstance(s, (ast.Constant, ast.UnaryOp)) and
                                     not (isinstance(s, ast.Constant) and (s.value is None or isinstance(s.value, bool)))
                                     for s in (left, right))
        if isinstance(node, ast.Constant):
            refusable |= isinstance(node.value, (bytes, complex)) or node.value is Ellipsis
            refusable |= isinstance(node.value, int) and not -2**63 <= node.value < 2**63
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
            refusable |= not isinstance(node.operand, (ast.Constant, ast.UnaryOp)) or \
                isinstance(getattr(node.operand, "value", None), (bool, str, type(None)))
        if isinstance(node, ast.Attribute):
            refusable |= not isinstance(node.value, (ast.Name, ast.Attribute))
    # Blanks around a dot, and none between a number and a word, are for Python alone.
    refusable |= re.search(r"[\s)]\.|\.\s|\d\w*\.?\w*(and|or|is|not)", text) is not None
    refusable |= fold(tree) is not None
    code = compile(ast.fix_missing_locations(Rewrite().visit(tree)), "<condition>", "eval")
    results = [int(bool(eval(code, dict(variables, test_=test, __builtins__={}))))]
    try:
        plain = int(bool(eval(text.strip(" \t"), dict(variables, __builtins__={}))))
        assert results == [plain], (text, results, plain)
    except (NameError, AttributeError, TypeError):
        pass
    # There is no value for `self` itself in the test.
    identity |= re.search(r"\bself\b(?!\s*\.)", text) is not None
    # Equal objects may be one or two: that is not known here, and Python's answer is an accident.
    if identity:
        results = [0, 1, -1]
    if refusable:
        results.append(None)
    return results


def documented():
    """The examples of the documentation as cases, with what it says of them; Python has to agree with that."""
    results = {"holds": 1, "does not": 0, "is refused": None}
    with open(DOCUMENT, encoding="utf-8") as file:
        rows = [re.fullmatch(r"\| `(.*)` \| (?:`(.*)` )?\| (.*) \|\n", line) for line in file]
    for row in filter(None, rows):
        if row[3] not in results:
            continue
        values, scope = {}, {name: types.SimpleNamespace() for name in ("order",)}
        for assignment in filter(None, (row[2] or "").split("; ")):
            exec(assignment, scope)
            name = assignment.split(" = ")[0]
            values[name] = eval(name, scope)
        want = results[row[3]]
        assert want in expected(row[1], scope), row[0]
        yield row[1], [want], values


def main():
    warnings.simplefilter("ignore")  # of `is` with a constant, of unknown escapes
    count = int(sys.argv[2]) if len(sys.argv) > 2 else 3000
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else random.randrange(10**6)
    rng = random.Random(seed)
    cases, text = list(documented()), []
    assert len(cases) > 10, "the documentation has no examples"
    for condition, _, values in cases:
        text += [encode(name, value) for name, value in values.items()] + ["x " + condition + "\n"]
    count += len(cases)
    while len(cases) < count:
        condition = expression(rng, rng.randrange(4))
        if rng.random() < 0.4:
            condition = damage(rng, condition)
        values, variables = environment(rng)
        cases.append((condition, expected(condition, variables), values))
        text += [encode(name, value) for name, value in values.items()] + ["x " + condition + "\n"]
    done = subprocess.run([sys.argv[1], "--eval"], input="".join(text).encode(), stdout=subprocess.PIPE, check=True)
    answers = done.stdout.decode().split()
    assert len(answers) == len(cases), (len(answers), len(cases))
    wrong = seen = 0
    for (condition, want, values), answer in zip(cases, answers):
        got = None if answer == "E" else int(answer)
        seen += got is not None
        if got not in want:
            wrong += 1
            print("%r: %s, not %s; %r" % (condition, answer, want, values))
    print("%d conditions (seed %d), %d of them accepted, %d wrong" % (len(cases), seed, seen, wrong))
    return 1 if wrong or seen < count // 4 else 0


if __name__ == "__main__":
    sys.exit(main())
