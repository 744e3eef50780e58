#!/usr/bin/python3
"""Asks the shop for its pages, for a while and from this host only, and prints how many it got.

    load.py PORT [--seconds N] [--requests N] [--clients N] [--pause MS] [--page PATH] [--window N]

Ends after N seconds or requests, whichever comes first, and on SIGTERM or SIGINT. With --window only the pages answered
in the N seconds after a SIGUSR1 are reported: those in which a profiler was really at work, say. The exit status is 1
when a page failed or none was answered. Only 127.0.0.1 is ever asked.
"""
import argparse
import http.client
import itertools
import random
import re
import signal
import sys
import threading
import time

PRODUCT = re.compile(r'href="(/product/[^"]+/)"')
CATEGORIES = ["kitchen", "garden", "workshop", "stationery", "lighting", "travel"]
QUERIES = ["lamp", "steel+kettle", "folding", "blue+pencil", "handle+spare", "walnut", "quiet+lantern"]
# What a cart that goes to a country without delivery answers: part of the mix, not a failure.
EXPECTED = (200, 409)


def bounded(low, high):
    def parse(text):
        value = int(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{value} is not between {low} and {high}")
        return value
    return parse


def get(port, path):
    """The status and the text of one page; the status is 0 when there was no answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read().decode(errors="replace")
    except (OSError, http.client.HTTPException):
        return 0, ""
    finally:
        connection.close()


def pages(products, seed):
    """The paths that one client asks for, without end, the same ones each time."""
    chance = random.Random(seed)
    while True:
        yield f"/?page={chance.randint(1, 12)}"
        yield f"/category/{chance.choice(CATEGORIES)}/"
        yield chance.choice(products)
        yield f"/cart/{chance.randint(1, 50)}/"
        yield f"/search/?q={chance.choice(QUERIES)}"


class Load:
    def __init__(self, port, requests, pause, page):
        self.port = port
        self.page = page
        self.pause = pause / 1000
        self.tickets = itertools.islice(itertools.count(), requests)
        self.lock = threading.Lock()
        self.stop = threading.Event()
        self.answered = []  # when
        self.failed = 0
        self.window = None  # when it begins
        self.began = self.ended = 0.0

    def take_ticket(self):
        with self.lock:
            return next(self.tickets, None) is not None

    def client(self, products, seed):
        for path in itertools.repeat(self.page) if self.page else pages(products, seed):
            if self.stop.is_set() or not self.take_ticket():
                return
            status, _ = get(self.port, path)
            with self.lock:
                if status in EXPECTED:
                    self.answered.append(time.monotonic())
                else:
                    self.failed += 1
            self.stop.wait(self.pause)

    def run(self, clients, seconds):
        products = sorted(set(PRODUCT.findall(get(self.port, "/")[1])))
        if not products:
            self.failed += 1
            return
        threads = [threading.Thread(target=self.client, args=(products, seed)) for seed in range(clients)]
        began = time.monotonic()
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads) and time.monotonic() < began + seconds:
            if self.stop.wait(0.05):
                break
        self.stop.set()
        for thread in threads:
            thread.join()
        self.began, self.ended = began, time.monotonic()

    def open_window(self):
        self.window = time.monotonic()

    def report(self, window):
        """One line, over the window if there is to be one, else over the whole run."""
        first, last = self.began, self.ended
        if window:
            if self.window is None:
                return "no rate: nobody opened the window"
            first, last = self.window, min(self.window + window, self.ended)
        pages = sum(first <= when <= last for when in self.answered)
        took = last - first
        return f"{pages / took if took > 0 else 0.0:.1f} requests/s ({pages} pages in {took:.1f} s, {self.failed} failed)"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("port", type=bounded(1, 65535))
    parser.add_argument("--seconds", type=bounded(1, 600), default=10)
    parser.add_argument("--requests", type=bounded(1, 1000000), default=1000000)
    parser.add_argument("--clients", type=bounded(1, 16), default=4)
    parser.add_argument("--pause", type=bounded(0, 60000), default=0, help="of a client after each page, in ms")
    parser.add_argument("--page", help="ask for this one only")
    parser.add_argument("--window", type=bounded(1, 600))
    options = parser.parse_args()
    load = Load(options.port, options.requests, options.pause, options.page)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: load.stop.set())
    signal.signal(signal.SIGUSR1, lambda *_: load.open_window())
    load.run(options.clients, options.seconds)
    print(load.report(options.window))
    return 1 if load.failed or not load.answered else 0


if __name__ == "__main__":
    sys.exit(main())
