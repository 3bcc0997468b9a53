#!/usr/bin/env python3
"""Compares Usher with nginx, HAProxy and Caddy on this machine, in one interleaved run. A contender that isn't installed is left out, with a word.

Method: one worker of each contender on core 0, load generator (wrk) and origin (nginx) on core 1. All contenders are up, the idle ones are
stopped. Slices in random order within each round; CPU time per request is what the kernel says the contender's threads ran, divided by the
requests that wrk counted. Ratios are taken within a round, then their median: clocks of shared machines are noisy, ratios much less so. All
contenders are started several times, because where the kernel puts a process's pages makes it some percent quicker or slower for all of its life.

Everything listens on loopback, on free ports, and ends with the script.
"""

import argparse
import http.client
import json
import os
import pathlib
import random
import re
import shutil
import signal
import statistics
import subprocess
import tempfile
import time

from servers import KEY, ROOT, Group, Process, admin, free_port, start_origin, usher_words, wait_for

ROUTES = 1000


def start_nginx(folder, origin):
    port = free_port()
    locations = "\n".join(f"location /r{i:04}/ {{ proxy_pass http://origin; }}" for i in range(ROUTES))
    config = folder / "nginx.conf"
    config.write_text(
        f"""daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.err;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 100000000; keepalive_timeout 600s; tcp_nodelay on;
  client_body_temp_path {folder}/nb; proxy_temp_path {folder}/np; fastcgi_temp_path {folder}/nf; uwsgi_temp_path {folder}/nu; scgi_temp_path {folder}/ns;
  upstream origin {{ server 127.0.0.1:{origin.port}; keepalive 320; keepalive_requests 100000000; }}
  server {{ listen 127.0.0.1:{port} backlog=4096; proxy_http_version 1.1; proxy_set_header Connection "";
    proxy_set_header Host $http_host; proxy_set_header X-Real-IP $remote_addr; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Host $http_host; proxy_set_header X-Forwarded-Port $server_port;
    {locations} location / {{ return 404; }} }} }}
"""
    )
    return Process("nginx", ["nginx", "-c", str(config)], 0, port, folder / "nginx.log")


def start_haproxy(folder, origin):
    port = free_port()
    (folder / "routes.map").write_text("".join(f"/r{i:04}/ origin\n" for i in range(ROUTES)))
    config = folder / "haproxy.cfg"
    config.write_text(
        f"""global
  nbthread 1
  maxconn 8192
defaults
  mode http
  timeout connect 5s
  timeout client 600s
  timeout server 600s
  http-reuse always
frontend in
  bind 127.0.0.1:{port} backlog 4096
  option forwardfor
  http-request set-header X-Real-IP %[src]
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header X-Forwarded-Port %[dst_port]
  use_backend %[path,map_beg({folder}/routes.map)]
backend origin
  server o 127.0.0.1:{origin.port} pool-max-conn 320
"""
    )
    return Process("haproxy", ["haproxy", "-db", "-f", str(config)], 0, port, folder / "haproxy.log")


def start_caddy(folder, origin):
    """One thread of Go code on the core. Its routes are one matcher with all paths, as HAProxy's are one map: a block for each would be looked at one
    after the other, at several hundred microseconds a request. Caddy sets X-Forwarded-For, -Proto and -Host by itself."""
    port = free_port()
    paths = " ".join(f"/r{i:04}/*" for i in range(ROUTES))
    config = folder / "Caddyfile"
    config.write_text(
        f"""{{
  admin off
  auto_https off
}}
http://127.0.0.1:{port} {{
  bind 127.0.0.1
  @known path {paths}
  handle @known {{
    reverse_proxy 127.0.0.1:{origin.port} {{
      header_up X-Real-IP {{remote_host}}
      header_up X-Forwarded-Port {port}
      transport http {{
        keepalive 600s
        keepalive_idle_conns_per_host 320
      }}
    }}
  }}
  respond 404
}}
"""
    )
    words = ["env", "GOMAXPROCS=1", f"HOME={folder}", "caddy", "run", "--adapter", "caddyfile", "--config", str(config)]
    return Process("caddy", words, 0, port, folder / "caddy.log", patience=60.0)


def start_usher(folder, origin, binary, name, plugins, routes=ROUTES, conditions=False):
    ports = [free_port(), free_port(), free_port()]
    data = folder / name
    process = Process(name, usher_words(binary, ports, data, "memory"), 0, ports[0], folder / f"{name}.log")
    wait_for(ports[1])
    if plugins:
        admin(ports[1], "PUT", "/consumers/bench", {"username": "bench", "plugins": {"key-auth": {"key": "bench-key"}}})
    admin(ports[1], "PUT", "/upstreams/origin",
          {"nodes": {f"127.0.0.1:{origin.port}": 1}, "keepalive_pool": {"size": 320, "idle_timeout": 600, "requests": 100000000}})
    for i in range(routes):
        # All conditions of one path look at the same request, and the last of them is the one that holds.
        route = {"uri": f"/r{i // 10 if conditions else i:04}/*", "upstream_id": "origin"}
        if conditions:
            route["vars"] = [["arg_tenant", "==", str(i % 10)], ["http_x_tier", "~~", "^(gold|silver)$"]]
            route["priority"] = 10 - i % 10
        if plugins:
            route["plugins"] = plugins
        admin(ports[1], "PUT", f"/routes/{i}", route)
    return process


def check(contender, size, length, headers, query=""):
    connection = http.client.HTTPConnection("127.0.0.1", contender.port, timeout=10)
    connection.request("GET", f"/r0500/{size}{query}", headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    if answer.status != 200 or len(body) != length:
        raise SystemExit(f"{contender.name} answered {answer.status} with {len(body)} bytes instead of 200 with {length}")


def load(contender, size, seconds, connections, headers, query=""):
    words = ["taskset", "-c", "1", "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency"]
    for name, value in headers.items():
        words += ["-H", f"{name}: {value}"]
    before = contender.cpu_ns()
    text = subprocess.run([*words, f"http://127.0.0.1:{contender.port}/r0500/{size}{query}"], capture_output=True, text=True, check=True).stdout
    used = contender.cpu_ns() - before
    requests = int(re.search(r"(\d+) requests in", text).group(1))
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    errors = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    if bad or (errors and any(int(n) for n in errors.groups())):
        raise SystemExit(f"{contender.name} failed under load:\n{text}")
    p99 = re.search(r"99%\s+([\d.]+)(us|ms|s)", text)
    p99_ms = float(p99.group(1)) * {"us": 0.001, "ms": 1, "s": 1000}[p99.group(2)]
    return {"cpu_us": used / 1000 / requests, "rps": float(re.search(r"Requests/sec:\s+([\d.]+)", text).group(1)),
            "p99_ms": p99_ms, "rss": contender.rss_mib()}


class Table:
    """What was measured under one title, over all starts."""

    def __init__(self, title, size, length, headers=None, query="", beside="nginx"):
        self.title, self.size, self.length, self.query, self.beside = title, size, length, query, beside
        self.headers = headers or {}
        self.rows = {}

    def measure(self, contenders, options):
        """Rounds over these processes, all of which run; all but one of them are stopped at any time."""
        for contender in contenders:
            contender.signal(signal.SIGCONT)
            check(contender, self.size, self.length, self.headers.get(contender.name, {}), self.query)
        for contender in contenders:
            contender.signal(signal.SIGSTOP)
        for _ in range(options.rounds):
            order = list(contenders)
            random.shuffle(order)
            for contender in order:
                contender.signal(signal.SIGCONT)
                headers = self.headers.get(contender.name, {})
                slice = load(contender, self.size, options.seconds, options.connections, headers, self.query)
                self.rows.setdefault(contender.name, []).append(slice)
                contender.signal(signal.SIGSTOP)
        for contender in contenders:
            contender.signal(signal.SIGCONT)

    def show(self, order):
        print(f"\n### {self.title}\n")
        print(f"| contender | CPU beside {self.beside} | CPU per request | requests/s | p99 | RSS |\n|---|---|---|---|---|---|")
        for name in order:
            slices = self.rows.get(name)
            if not slices:
                continue
            ratio = statistics.median(s["cpu_us"] / n["cpu_us"] for s, n in zip(slices, self.rows[self.beside]))
            median = lambda what: statistics.median(s[what] for s in slices)
            print(f"| {name} | {ratio:.2f} | {median('cpu_us'):.1f} us | {median('rps'):.0f} | {median('p99_ms'):.2f} ms | {slices[-1]['rss']:.0f} MiB |",
                  flush=True)


def syscalls(contender, options, headers):
    if not shutil.which("strace"):
        return None
    pids = [word for pid in contender.pids() for word in ("-p", str(pid))]
    out = tempfile.NamedTemporaryFile("r", suffix=".strace")
    trace = subprocess.Popen(["strace", "-f", "-c", "-q", "-o", out.name, *pids], stderr=subprocess.DEVNULL)
    time.sleep(0.5)
    words = ["taskset", "-c", "1", "wrk", "-t1", "-c16", "-d2s"]
    for name, value in headers.items():
        words += ["-H", f"{name}: {value}"]
    text = subprocess.run([*words, f"http://127.0.0.1:{contender.port}/r0500/1k"], capture_output=True, text=True, check=True).stdout
    trace.send_signal(signal.SIGINT)
    trace.wait()
    requests = int(re.search(r"(\d+) requests in", text).group(1))
    total = re.search(r"^100\.00\s+\S+\s+(?:\d+\s+)?(\d+)\s.*total", out.read(), re.M)
    return int(total.group(1)) / requests if total else None


def instructions(folder, origin, binary):
    """User instructions per request of the proxy, by callgrind, between two marks after warm-up."""
    if not shutil.which("valgrind"):
        return None
    ports = [free_port(), free_port(), free_port()]
    words = ["valgrind", "--tool=callgrind", "--instr-atstart=no", f"--callgrind-out-file={folder}/callgrind.out"]
    process = Process("valgrind", words + usher_words(binary, ports, folder / "vg", "memory"), 0, ports[0], folder / "vg.log")
    wait_for(ports[1], 60)
    admin(ports[1], "PUT", "/routes/500", {"uri": "/r0500/*", "upstream": {"nodes": {f"127.0.0.1:{origin.port}": 1}}})

    def send(count):
        connection = http.client.HTTPConnection("127.0.0.1", ports[0], timeout=60)
        for _ in range(count):
            connection.request("GET", "/r0500/1k")
            connection.getresponse().read()
        connection.close()

    send(50)
    subprocess.run(["callgrind_control", "-i", "on", str(process.process.pid)], capture_output=True, check=True)
    send(1000)
    subprocess.run(["callgrind_control", "-i", "off", str(process.process.pid)], capture_output=True, check=True)
    process.stop()
    text = (folder / "vg.log").read_text(errors="replace")
    found = re.search(r"Collected : (\d+)", text)
    return int(found.group(1)) / 1000 if found else None


def scale(folder, origin, binary, count):
    """How long a start with many routes takes, and the memory it needs."""
    ports = [free_port(), free_port(), free_port()]
    data = folder / "scale"
    process = Process("usher", usher_words(binary, ports, data), 0, ports[0], folder / "scale.log")
    wait_for(ports[1])
    admin(ports[1], "PUT", "/upstreams/origin", {"nodes": {f"127.0.0.1:{origin.port}": 1}})
    connection = http.client.HTTPConnection("127.0.0.1", ports[1], timeout=60)
    start = time.monotonic()
    for i in range(count):
        body = json.dumps({"uri": f"/tenant{i % 1000}/service{i}/*", "name": f"route {i}", "upstream_id": "origin", "methods": ["GET", "POST"]})
        connection.request("PUT", f"/apisix/admin/routes/{i}", body, {"X-API-KEY": KEY, "Content-Type": "application/json"})
        answer = connection.getresponse()
        answer.read()
        if answer.status != 201:
            raise SystemExit(f"PUT of route {i} answered {answer.status}")
        if i and i % 10000 == 0:
            print(f"  {i} routes written, {i / (time.monotonic() - start):.0f}/s", flush=True)
    written = time.monotonic() - start
    # One edit at full size beside one at the beginning shows whether an edit costs what it changes.
    start = time.monotonic()
    for i in range(100):
        admin(ports[1], "PUT", "/routes/1", {"uri": f"/edited{i}/*", "upstream_id": "origin"})
    edit_ms = (time.monotonic() - start) * 10
    process.stop()
    start = time.monotonic()
    process = Process("usher", usher_words(binary, ports, data), 0, ports[0], folder / "scale2.log")
    wait_for(ports[1], 60)
    started = time.monotonic() - start
    connection = http.client.HTTPConnection("127.0.0.1", ports[0], timeout=10)
    connection.request("GET", f"/tenant{(count - 1) % 1000}/service{count - 1}/1k")
    status = connection.getresponse().status
    rss = process.rss_mib()
    process.stop()
    print(f"\n### {count} routes\n\n| what | figure |\n|---|---|\n| writing them, one PUT after the other | {written:.1f} s |"
          f"\n| one edit at that size | {edit_ms:.1f} ms |\n| start until all listen | {started:.2f} s |\n| RSS after the start | {rss:.0f} MiB |"
          f"\n| the last route answers | {status} |")


def speed(folder, origin, options):
    """Beside the others: slices of several starts, and what can be counted."""
    limits = {"key-auth": {}, "limit-count": {"count": 1000000000, "time_window": 3600, "rejected_code": 429}, "prometheus": {}}
    keyed = {"usher+plugins": {"apikey": "bench-key"}}
    small = Table(f"(a) plain proxying, 1 KB, {ROUTES} routes", "1k", 1024)
    large = Table(f"(a) plain proxying, 100 KB, {ROUTES} routes", "100k", 102400)
    plugged = Table("(b) key-auth + limit-count + prometheus on Usher, nginx bare, 1 KB", "1k", 1024, keyed)
    if not shutil.which("caddy"):
        print("caddy isn't installed and is left out (Debian package: caddy)")
    starts = options.starts if options.only != "counts" else 1
    for start in range(starts):
        here = folder / f"start{start}"
        here.mkdir()
        with Group() as running:
            bare = [running.add(start_nginx(here, origin)), running.add(start_haproxy(here, origin))]
            if shutil.which("caddy"):
                bare.append(running.add(start_caddy(here, origin)))
            bare.append(running.add(start_usher(here, origin, options.binary, "usher", None)))
            full = running.add(start_usher(here, origin, options.binary, "usher+plugins", limits))
            if options.only != "counts":
                small.measure(bare, options)
                large.measure(bare, options)
                plugged.measure([bare[0], full], options)
            if options.only != "speed" and start + 1 == starts:
                print("\n### Counts per request (1 KB)\n\n| contender | syscalls | user instructions |\n|---|---|---|")
                for contender in (*bare, full):
                    calls = syscalls(contender, options, keyed.get(contender.name, {}))
                    inside = instructions(here, origin, options.binary) if contender is bare[-1] else None
                    print(f"| {contender.name} | {'-' if calls is None else f'{calls:.2f}'} | {'-' if inside is None else f'{inside / 1000:.1f}k'} |")
    if options.only != "counts":
        for table in (small, large, plugged):
            table.show(["nginx", "haproxy", "caddy", "usher", "usher+plugins"])


def conditions(folder, origin, options):
    """Many routes with conditions beside one without. Each path has ten routes with two conditions each; the request meets the last of its ten."""
    asked = {name: {"x-tier": "gold"} for name in ("one route", "10,000 with vars")}
    table = Table("(c) 10,000 routes with two conditions each, beside a plain route of our own, 1 KB", "1k", 1024, asked, "?tenant=9", "one route")
    for start in range(options.starts):
        here = folder / f"conditions{start}"
        here.mkdir()
        with Group() as running:
            one = running.add(start_usher(here, origin, options.binary, "one route", None, routes=501))
            many = running.add(start_usher(here, origin, options.binary, "10,000 with vars", None, routes=10000, conditions=True))
            table.measure([one, many], options)
    table.show(["one route", "10,000 with vars"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--starts", type=int, default=4, help="how often all contenders are started anew")
    parser.add_argument("--rounds", type=int, default=3, help="rounds of each start")
    parser.add_argument("--seconds", type=int, default=2, help="length of a slice")
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "target/release/usher")
    parser.add_argument("--routes", type=int, default=100000, help="for the scale part; 0 leaves it out")
    parser.add_argument("--only", choices=["speed", "counts", "vars", "scale"], help="one part alone")
    options = parser.parse_args()
    os.environ["USHER_ADMIN_KEY"] = KEY
    os.environ.setdefault("USHER_LOG", "warn")

    folder = pathlib.Path(tempfile.mkdtemp(prefix="usher-bench-"))
    running = []
    try:
        origin = start_origin(folder)
        running.append(origin)
        if options.only in (None, "speed", "counts"):
            speed(folder, origin, options)
        if options.only in (None, "vars"):
            conditions(folder, origin, options)
        if options.only in (None, "scale") and options.routes:
            scale(folder, origin, options.binary, options.routes)
    finally:
        for process in reversed(running):
            process.stop()
        shutil.rmtree(folder, ignore_errors=True)


main()
