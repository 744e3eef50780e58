"""Which of the products that a search found come first, and which words to show of each."""
import re

WORD = re.compile(r"\w+")


def words_of(text):
    return [match.group().lower() for match in WORD.finditer(text)]


def trigrams(word):
    """The three-letter pieces of a word, its ends marked."""
    padded = f"  {word} "
    for i in range(len(padded) - 2):
        yield padded[i:i + 3]


def similarity(a, b):
    """0 for nothing in common, 1 for the same word."""
    first, second = set(trigrams(a)), set(trigrams(b))
    return len(first & second) / len(first | second)


def score(product, wanted):
    """How well a product fits the words: words like those of its name, counting twice, and words of its description."""
    name, description = words_of(product.name), set(words_of(product.description))
    total = 0.0
    for word in wanted:
        total += 2 * max((similarity(word, other) for other in name), default=0.0)
        total += word in description
    return total


def rank(products, wanted, limit=12):
    return sorted(products, key=lambda product: (-score(product, wanted), product.name))[:limit]


def excerpt(text, wanted, around=6):
    """The words around the first wanted one."""
    pieces = text.split()
    for i, piece in enumerate(pieces):
        if any(word in piece.lower() for word in wanted):
            return " ".join(pieces[max(0, i - around):i + around])
    return " ".join(pieces[:2 * around])
