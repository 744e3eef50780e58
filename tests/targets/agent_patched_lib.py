"""What agent_patched.py imports."""


def imported(a=1):
    return 'old', a


def plain_decorator(function):
    def seen(*args):
        return 'seen', function(*args)
    return seen
