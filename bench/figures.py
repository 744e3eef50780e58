"""Medians with their spread, and how the table is printed."""
import statistics


def summary(values, form='%.2f', unit=''):
    """'median unit (min..max)'."""
    low, middle, high = min(values), statistics.median(values), max(values)
    return ('%s%s (%s..%s)' % (form, ' ' + unit if unit else '', form, form)) % (middle, low, high)


def ratios(values, base):
    """Run by run: values of one run saw the same state of the machine."""
    return [a / b for a, b in zip(values, base)]


def goal(values, limit):
    """What is added to a figure that has a goal."""
    return '  met (<= %g)' % limit if statistics.median(values) <= limit else '  MISSED (goal <= %g)' % limit


def heading(text):
    print('\n%s\n%s' % (text, '-' * len(text)), flush=True)


def table(rows):
    """Rows of texts, the first one the heading; the first column to the left, columns as wide as they need."""
    widths = [max(len(row[i]) for row in rows if i < len(row)) for i in range(max(map(len, rows)))]
    for row in rows:
        print('  '.join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip())
    print(flush=True)
