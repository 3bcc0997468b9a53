#!/usr/bin/env python3
"""What each plugin adds to a request: user CPU, and instructions where valgrind is there, over the same route without it, in one interleaved run.

Method: one Usher with one worker on core 0, load generator (wrk) and origin (nginx) on core 1. Each plugin has a route of its own, and one route has
none. Slices in random order within each round; user CPU per request is what the kernel says the worker ran in user mode, divided by the requests that
wrk counted. Differences are taken to the bare route of the same round, then their median. Instructions are counted by callgrind, one request after the
other, which no other work on the machine disturbs.

Everything listens on loopback, on free ports, and ends with the script. A whole run takes about ten minutes, --quick half a minute.
"""

import argparse
import base64
import hashlib
import hmac
import http.client
import json
import os
import pathlib
import random
import re
import shutil
import statistics
import subprocess
import tempfile

from servers import KEY, ROOT, Process, admin, free_port, start_origin, usher_words, wait_for

SECRET = "a-secret-of-this-benchmark-only"


def jwt():
    def part(raw):
        return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()

    signed = f'{part(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())}.{part(json.dumps({"key": "bench"}).encode())}'
    return f"{signed}.{part(hmac.new(SECRET.encode(), signed.encode(), hashlib.sha256).digest())}"


# Name, what it may add in microseconds (the cache: at most this part of the bare route), plugins, fields of the request.
CASES = [
    ("key-auth", 1.0, {"key-auth": {}}, {"apikey": "bench-key"}),
    ("ip-restriction", 1.0, {"ip-restriction": {"whitelist": ["127.0.0.0/8", "10.0.0.0/8", "2001:db8::/32"]}}, {}),
    ("cors", 1.0, {"cors": {"allow_origins": "https://a.test,https://b.test"}}, {"Origin": "https://b.test"}),
    ("request-id", 1.0, {"request-id": {}}, {}),
    ("proxy-rewrite", 1.0, {"proxy-rewrite": {"regex_uri": ["^/proxy-rewrite/(.*)", "/rewritten/$1"], "headers": {"set": {"X-A": "$remote_addr"}}}}, {}),
    ("response-rewrite", 1.0, {"response-rewrite": {"headers": {"set": {"X-A": "$status"}, "remove": ["ETag"]}}}, {}),
    ("limit-count", 1.0, {"limit-count": {"count": 1000000000, "time_window": 3600}}, {}),
    ("prometheus", 1.5, {"prometheus": {}}, {}),
    ("jwt-auth HS256", 5.0, {"jwt-auth": {}}, {"Authorization": jwt()}),
    ("proxy-cache hit", None, {"proxy-cache": {"cache_strategy": "memory", "cache_zone": "memory_cache", "cache_ttl": 3600}}, {}),
]
# What a hit may cost of a proxied request.
HIT = 0.6


def place(name):
    return name.split()[0]


def start(words, folder, origin, label, patience=20):
    ports = [free_port(), free_port(), free_port()]
    process = Process(label, words(ports), 0, ports[0], folder / f"{label}.log", patience)
    wait_for(ports[1], patience)
    admin(ports[1], "PUT", "/consumers/bench", {"username": "bench", "plugins": {
        "key-auth": {"key": "bench-key"}, "jwt-auth": {"key": "bench", "secret": SECRET}}})
    admin(ports[1], "PUT", "/upstreams/origin",
          {"nodes": {f"127.0.0.1:{origin.port}": 1}, "keepalive_pool": {"size": 320, "idle_timeout": 600, "requests": 100000000}})
    admin(ports[1], "PUT", "/routes/bare", {"uri": "/bare/*", "upstream_id": "origin"})
    for name, _, plugins, _ in CASES:
        admin(ports[1], "PUT", f"/routes/{place(name)}", {"uri": f"/{place(name)}/*", "upstream_id": "origin", "plugins": plugins})
    return process


def check(process, name, headers):
    connection = http.client.HTTPConnection("127.0.0.1", process.port, timeout=30)
    # The second one is the hit of a cache.
    for _ in range(2):
        connection.request("GET", f"/{place(name)}/1k", headers=headers)
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200 or len(body) != 1024:
            raise SystemExit(f"{name} answered {answer.status} with {len(body)} bytes: {body[:200]!r}")
    wanted = {"cors": "Access-Control-Allow-Origin", "request-id": "X-Request-Id", "response-rewrite": "X-A",
              "limit-count": "X-RateLimit-Remaining", "proxy-cache": "Apisix-Cache-Status"}.get(place(name))
    if wanted and not answer.headers.get(wanted):
        raise SystemExit(f"{name} did nothing: there is no {wanted} in its answer")
    if place(name) == "proxy-cache" and answer.headers["Apisix-Cache-Status"] != "HIT":
        raise SystemExit(f"{name} is no hit: {answer.headers['Apisix-Cache-Status']}")
    connection.close()


def user_seconds(process):
    ticks = 0
    for pid in process.pids():
        for task in pathlib.Path(f"/proc/{pid}/task").glob("*/stat"):
            try:
                ticks += int(task.read_text().rsplit(")", 1)[1].split()[11])
            except OSError:
                pass
    return ticks / 100


def load(process, name, headers, options):
    words = ["taskset", "-c", "1", "wrk", "-t1", f"-c{options.connections}", f"-d{options.seconds}s"]
    for field, value in headers.items():
        words += ["-H", f"{field}: {value}"]
    before = user_seconds(process), process.cpu_ns()
    text = subprocess.run([*words, f"http://127.0.0.1:{process.port}/{place(name)}/1k"], capture_output=True, text=True, check=True).stdout
    user, all_ns = user_seconds(process) - before[0], process.cpu_ns() - before[1]
    if re.search(r"Non-2xx|Socket errors", text):
        raise SystemExit(f"{name} failed under load:\n{text}")
    requests = int(re.search(r"(\d+) requests in", text).group(1))
    return user * 1e6 / requests, all_ns / 1000 / requests


def instructions(folder, origin, options):
    """User instructions per request of each route, by callgrind, after a warm-up."""
    if not shutil.which("valgrind") or options.quick:
        return {}
    words = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={folder}/callgrind.out"]
    found = {}
    for name, headers in [("bare", {}), *((name, headers) for name, _, _, headers in CASES)]:
        # One process for each: what was counted is told at its end.
        label = f"valgrind-{place(name)}"
        process = start(lambda ports: [*words, *usher_words(options.binary, ports, folder / label, "memory")], folder, origin, label, 90)
        connection = http.client.HTTPConnection("127.0.0.1", process.port, timeout=120)

        def send(count):
            for _ in range(count):
                connection.request("GET", f"/{place(name)}/1k", headers=headers)
                connection.getresponse().read()

        def control(switch):
            subprocess.run(["callgrind_control", "-i", switch, str(process.process.pid)], capture_output=True, check=True)

        send(50)
        control("on")
        send(options.count)
        control("off")
        connection.close()
        process.stop()
        told = re.search(r"Collected : (\d+)", (folder / f"{label}.log").read_text(errors="replace"))
        if told:
            found[name] = int(told.group(1)) / options.count
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seconds", type=int, default=4, help="length of a slice")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--count", type=int, default=1000, help="requests whose instructions are counted")
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "target/release/usher")
    parser.add_argument("--quick", action="store_true", help="two rounds of one second and no instructions, to see that all of it runs")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds = 2, 1
    if not options.binary.exists():
        raise SystemExit(f"{options.binary} is not there: cargo build --release --package usher-gateway")
    os.environ["USHER_ADMIN_KEY"] = KEY
    os.environ.setdefault("USHER_LOG", "warn")
    all_of_them = [("bare", {}), *((name, headers) for name, _, _, headers in CASES)]
    with tempfile.TemporaryDirectory(prefix="usher-bench-") as folder:
        folder = pathlib.Path(folder)
        origin = start_origin(folder)
        process = start(lambda ports: usher_words(options.binary, ports, folder / "data", "memory"), folder, origin, "usher")
        try:
            for name, headers in all_of_them:
                check(process, name, headers)
            rounds = []
            for _ in range(options.rounds):
                order = list(all_of_them)
                random.shuffle(order)
                rounds.append({name: load(process, name, headers, options) for name, headers in order})
        finally:
            process.stop()
        counted = instructions(folder, origin, options)
        origin.stop()
    bare = statistics.median(one["bare"][0] for one in rounds)
    print(f"\n### What a plugin adds to a request ({options.rounds} rounds of {options.seconds} s, {options.connections} connections, 1 KiB)\n")
    print(f"The bare route: {bare:.2f} us of user CPU, {statistics.median(one['bare'][1] for one in rounds):.2f} us of CPU in all"
          + (f", {counted['bare']:.0f} instructions" if "bare" in counted else "") + ".\n")
    print("| plugin | user CPU added | goal | CPU of the bare route | instructions added |\n|---|---|---|---|---|")
    for name, goal, _, _ in CASES:
        added = statistics.median(one[name][0] - one["bare"][0] for one in rounds)
        ratio = statistics.median(one[name][1] / one["bare"][1] for one in rounds)
        goal = f"{goal:.1f} us" if goal else f"{HIT} of the bare route"
        more = f"{counted[name] - counted['bare']:+.0f}" if name in counted and "bare" in counted else ""
        print(f"| {name} | {added:+.2f} us | {goal} | {ratio:.2f} | {more} |")


if __name__ == "__main__":
    main()
