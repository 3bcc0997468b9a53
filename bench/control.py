#!/usr/bin/env python3
"""Measures Usher's control plane on this machine: what an edit costs at several sizes, a stream of edits under load, bulk imports, memory.

Method: counts and CPU time where there is a choice, because clocks of shared machines are noisy. Sizes are measured side by side in one run.
Everything listens on loopback, on free ports, and ends with the script.
"""

import argparse
import http.client
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import tempfile
import threading
import time

from servers import KEY, ROOT, Process, free_port, start_origin, usher_words, wait_for


class Usher:
    """A server with its Admin API."""

    def __init__(self, folder, binary, name, store="embedded", extra=()):
        self.ports = [free_port(), free_port(), free_port()]
        self.data = folder / name
        self.log = folder / f"{name}.log"
        self.process = Process(name, usher_words(binary, self.ports, self.data, store) + list(extra), 0, self.ports[0], self.log)
        wait_for(self.ports[1])
        self.connection = http.client.HTTPConnection("127.0.0.1", self.ports[1], timeout=600)

    def ask(self, method, path, body=None):
        """The answer's status and JSON, over one connection that is kept."""
        self.connection.request(method, path, json.dumps(body) if body is not None else None,
                                {"X-API-KEY": KEY, "Content-Type": "application/json"})
        answer = self.connection.getresponse()
        text = answer.read()
        if answer.status >= 300:
            raise SystemExit(f"{method} {path} answered {answer.status}: {text[:400].decode(errors='replace')}")
        return json.loads(text) if text else None

    def put(self, path, body):
        self.ask("PUT", f"/apisix/admin{path}", body)

    def document(self, document, delete=False, kinds=None):
        """Plans and applies a whole document; gives the seconds of both together."""
        start = time.monotonic()
        wanted = {"document": document, "delete": delete}
        if kinds:
            wanted["kinds"] = kinds
        plan = self.ask("POST", "/usher/v1/plans", wanted)
        self.ask("POST", f"/usher/v1/plans/{plan['id']}/apply", {"approval": {"person": "bench"}})
        return time.monotonic() - start

    def settle(self):
        """Waits until what an import left to do in the background, such as a snapshot, is done."""
        while True:
            before = self.process.cpu_ns()
            time.sleep(0.5)
            if self.process.cpu_ns() - before < 10_000_000:
                return

    def calm(self):
        """Waits until no more memory is given back: the allocator keeps what was freed for some seconds."""
        before = self.rss()
        while True:
            time.sleep(3)
            now = self.rss()
            if now > before * 0.99:
                return
            before = now

    def rss(self):
        return self.process.rss_mib()

    def stop(self):
        self.connection.close()
        self.process.stop()


def routes(count, origin, first=0):
    return {str(i): {"uri": f"/tenant{i % 1000}/service{i}/*", "name": f"route {i}", "upstream_id": "origin", "methods": ["GET", "POST"]}
            for i in range(first, first + count)}


def with_upstream(document, origin):
    document["upstreams"] = {"origin": {"nodes": {f"127.0.0.1:{origin.port}": 1}}}
    return {"usher": 1, **document}


def edits(folder, origin, binary, sizes):
    """One edit at several table sizes: wall time of a durable edit that is in force, and the CPU time it takes."""
    servers = []
    for size in sizes:
        usher = Usher(folder, binary, f"edit{size}")
        usher.document(with_upstream({"routes": routes(size, origin)}, origin))
        # The first edit behind an import folds the change log into a snapshot, which is the import's cost.
        usher.put("/routes/7", {"uri": "/first/*", "upstream_id": "origin"})
        usher.settle()
        servers.append((size, usher))
    samples = {size: [] for size in sizes}
    cpu = {size: 0 for size in sizes}
    rounds, each = 10, 20
    for turn in range(rounds):
        for size, usher in servers:
            before = usher.process.cpu_ns()
            for i in range(each):
                start = time.monotonic()
                usher.put("/routes/7", {"uri": f"/edited{turn}-{i}/*", "upstream_id": "origin"})
                samples[size].append((time.monotonic() - start) * 1000)
            cpu[size] += usher.process.cpu_ns() - before
    print("\n### One edit, durable and in force, at several sizes\n\n| routes | median | p99 | CPU per edit | CPU beside the smallest |\n|---|---|---|---|---|")
    first = cpu[sizes[0]]
    for size in sizes:
        sample = sorted(samples[size])
        print(f"| {size} | {statistics.median(sample):.2f} ms | {sample[int(len(sample) * 0.99)]:.2f} ms "
              f"| {cpu[size] / rounds / each / 1e6:.2f} ms | {cpu[size] / first:.2f} |")
    for _, usher in servers:
        usher.stop()


def wrk(port, seconds, path="/tenant1/service1/1k"):
    words = ["taskset", "-c", "1", "wrk", "-t1", "-c32", f"-d{seconds}s", "--latency", f"http://127.0.0.1:{port}{path}"]
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    requests = int(re.search(r"(\d+) requests in", text).group(1))
    bad = int((re.search(r"Non-2xx or 3xx responses: (\d+)", text) or [0, 0])[1])
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", text)
    p99_ms = float(p99.group(1)) * {"us": 0.001, "ms": 1, "s": 1000}[p99.group(2)]
    failed = bad + sum(int(n) for n in errors.groups()) if errors else bad
    return requests, failed, p99_ms


def churn(folder, origin, binary, seconds, per_second, size):
    """A stream of edits while requests run: failed and misrouted requests, p99 beside the calm one, CPU per edit at start and end."""
    usher = Usher(folder, binary, "churn")
    usher.document(with_upstream({"routes": routes(size, origin)}, origin))
    usher.settle()
    calm = wrk(usher.ports[0], 5)
    stop = threading.Event()
    told = {"edits": 0, "late": 0}

    def write():
        connection = http.client.HTTPConnection("127.0.0.1", usher.ports[1], timeout=30)
        begin = time.monotonic()
        while not stop.is_set():
            number = told["edits"]
            due = begin + number / per_second
            wait = due - time.monotonic()
            if wait > 0:
                time.sleep(wait)
            elif wait < -1:
                told["late"] += 1
            # Every edit touches another route, and every tenth the one under load: it keeps its meaning.
            target = 1 if number % 10 == 0 else 2 + number % (size - 2)
            body = {"uri": f"/tenant{target % 1000}/service{target}/*", "name": f"edit {number}", "upstream_id": "origin", "methods": ["GET", "POST"]}
            connection.request("PUT", f"/apisix/admin/routes/{target}", json.dumps(body), {"X-API-KEY": KEY, "Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            if answer.status not in (200, 201):
                raise SystemExit(f"an edit under load answered {answer.status}")
            told["edits"] += 1

    writer = threading.Thread(target=write)
    writer.start()
    busy = wrk(usher.ports[0], seconds)
    stop.set()
    writer.join()
    rss = usher.rss()
    usher.stop()
    print(f"\n### {per_second} edits a second for {seconds} s at {size} routes, under load\n\n| what | figure |\n|---|---|"
          f"\n| edits applied, durable and in force | {told['edits']} |\n| requests answered | {busy[0]} |\n| failed or misrouted | {busy[1]} |"
          f"\n| p99, calm | {calm[2]:.2f} ms |\n| p99, with edits | {busy[2]:.2f} ms |\n| RSS at the end | {rss:.0f} MiB |")
    if busy[1]:
        raise SystemExit("requests failed while edits were applied")


def bulk(folder, origin, binary, count):
    """A whole document at once, then as many consumers, and what a start with all of that takes."""
    usher = Usher(folder, binary, "bulk")
    took = usher.document(with_upstream({"routes": routes(count, origin)}, origin))
    consumers = {f"user{i}": {"username": f"user{i}", "plugins": {"key-auth": {"key": f"key-of-user-{i}"}}} for i in range(count)}
    people = usher.document({"usher": 1, "consumers": consumers})
    at_once = usher.rss()
    usher.settle()
    usher.calm()
    rss = usher.rss()
    usher.stop()
    start = time.monotonic()
    again = Process("again", usher_words(binary, usher.ports, usher.data), 0, usher.ports[0], folder / "again.log")
    wait_for(usher.ports[1], 60)
    started = time.monotonic() - start
    fresh = again.rss_mib()
    again.stop()
    print(f"\n### {count} routes and {count} consumers by document\n\n| what | figure |\n|---|---|"
          f"\n| {count} routes: planned, applied, durable, in force | {took:.1f} s |\n| {count} consumers with a sealed key each | {people:.1f} s |"
          f"\n| RSS right behind both, and once it was calm | {at_once:.0f} MiB, {rss:.0f} MiB |\n| start with all of it | {started:.2f} s |\n| RSS after that start | {fresh:.0f} MiB |")


def turnover(folder, origin, binary, total, at_once):
    """Objects that come and go by bulk plans: the memory at the end beside that after the third turn, when the store's cache of pages is full."""
    usher = Usher(folder, binary, "turnover")
    usher.document(with_upstream({}, origin))
    turns = max(4, total // at_once)
    seen = []
    for turn in range(turns):
        usher.document({"usher": 1, "routes": routes(at_once, origin, turn * at_once)})
        usher.document({"usher": 1, "routes": {}}, delete=True, kinds=["routes"])
        usher.calm()
        seen.append(usher.rss())
    usher.stop()
    ratio = seen[-1] / seen[2]
    print(f"\n### {turns * at_once} routes made and deleted, {at_once} at a time\n\n| after | RSS |\n|---|---|"
          + "".join(f"\n| {(turn + 1) * at_once} | {seen[turn]:.0f} MiB |" for turn in sorted({0, 2, turns // 2, turns - 1}))
          + f"\n\nThe last beside the third turn: {ratio:.2f}")
    if ratio > 1.05:
        raise SystemExit("memory grew by more than a twentieth")


def etcd(folder, origin, binary, rounds=50):
    """How soon a change made through one gateway is served by another that shares an etcd with it."""
    if not shutil.which("etcd"):
        print("\netcd is not installed; left out")
        return
    client, peer = free_port(), free_port()
    words = ["etcd", "--data-dir", str(folder / "etcd"), "--listen-client-urls", f"http://127.0.0.1:{client}", "--advertise-client-urls",
             f"http://127.0.0.1:{client}", "--listen-peer-urls", f"http://127.0.0.1:{peer}", "--initial-advertise-peer-urls", f"http://127.0.0.1:{peer}",
             "--initial-cluster", f"default=http://127.0.0.1:{peer}"]
    server = Process("etcd", words, 1, client, folder / "etcd.log")
    url = f"etcd://127.0.0.1:{client}"
    one, other = Usher(folder, binary, "one", url), Usher(folder, binary, "other", url)
    one.put("/upstreams/origin", {"nodes": {f"127.0.0.1:{origin.port}": 1}})
    seen = []
    for i in range(rounds):
        one.put("/routes/1", {"uri": f"/turn{i}/*", "upstream_id": "origin"})
        start = time.monotonic()
        while True:
            connection = http.client.HTTPConnection("127.0.0.1", other.ports[0], timeout=5)
            connection.request("GET", f"/turn{i}/1k")
            status = connection.getresponse().status
            connection.close()
            if status == 200:
                break
            if time.monotonic() - start > 10:
                raise SystemExit("the other gateway has not seen the change after 10 s")
        seen.append((time.monotonic() - start) * 1000)
    one.stop()
    other.stop()
    server.stop()
    print(f"\n### From one gateway to another over etcd, {rounds} changes\n\n| median | worst |\n|---|---|\n"
          f"| {statistics.median(seen):.1f} ms | {max(seen):.1f} ms |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "target/release/usher")
    parser.add_argument("--only", choices=["edits", "churn", "bulk", "turnover", "etcd"], help="one part alone")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10000, 100000], help="routes, for the edits")
    parser.add_argument("--seconds", type=int, default=60, help="length of the stream of edits")
    parser.add_argument("--rate", type=int, default=100, help="edits a second in that stream")
    parser.add_argument("--routes", type=int, default=10000, help="routes that are there while edits stream in")
    parser.add_argument("--count", type=int, default=100000, help="objects of one bulk import")
    parser.add_argument("--total", type=int, default=1000000, help="objects made and deleted in all")
    options = parser.parse_args()
    os.environ["USHER_ADMIN_KEY"] = KEY
    os.environ.setdefault("USHER_LOG", "warn")
    parts = {
        "edits": lambda folder, origin: edits(folder, origin, options.binary, options.sizes),
        "churn": lambda folder, origin: churn(folder, origin, options.binary, options.seconds, options.rate, options.routes),
        "bulk": lambda folder, origin: bulk(folder, origin, options.binary, options.count),
        "turnover": lambda folder, origin: turnover(folder, origin, options.binary, options.total, options.count),
        "etcd": lambda folder, origin: etcd(folder, origin, options.binary),
    }
    for name, part in parts.items():
        if options.only in (None, name):
            with tempfile.TemporaryDirectory(prefix="usher-bench-") as place:
                folder = pathlib.Path(place)
                origin = start_origin(folder)
                try:
                    part(folder, origin)
                finally:
                    origin.stop()


if __name__ == "__main__":
    main()
