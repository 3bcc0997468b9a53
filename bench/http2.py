#!/usr/bin/env python3
"""Compares Usher with nginx over HTTP/2 and gRPC on this machine, in one interleaved run; over TLS too, where this Usher serves it.

The method is that of compare.py: one worker of each contender on core 0, load generator (h2load) and origin (nginx) on core 1, slices in random
order within each round, CPU time per request from the kernel, ratios within a round and then their median.
"""

import argparse
import os
import pathlib
import random
import re
import shutil
import signal
import statistics
import subprocess
import tempfile

from servers import KEY, ROOT, Process, admin, free_port, start_origin, usher_words, wait_for

HOST = "bench.test"


class Door:
    """One way into a contender; the name in the URL is the one that TLS asks for."""

    def __init__(self, process, url, port):
        self.process, self.name, self.url, self.to = process, process.name, url, f"127.0.0.1:{port}"


def certificate(folder):
    cert, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
                    "-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}", "-keyout", str(key), "-out", str(cert)],
                   check=True, capture_output=True)
    return cert, key


def temp_paths(folder, name):
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    return " ".join(f"{kind}_temp_path {folder}/{name}-{kind};" for kind in kinds)


def start_grpc_origin(folder):
    """An HTTP/2 server that answers every call with one small message; its status comes in the head, which clients take as well."""
    port = free_port()
    config = folder / "grpc.conf"
    config.write_text(
        f"""daemon off; master_process off; worker_processes 1; pid {folder}/grpc.pid; error_log {folder}/grpc.err;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 100000000; {temp_paths(folder, "grpc")}
  server {{ listen 127.0.0.1:{port} http2; location / {{ default_type application/grpc; add_header grpc-status 0; return 200 "xxxxxxxx"; }} }} }}
"""
    )
    return Process("grpc-origin", ["nginx", "-c", str(config)], 1, port, folder / "grpc.log")


def start_nginx(folder, origin, grpc, cert, key):
    plain, tls, tls1 = free_port(), free_port(), free_port()
    config = folder / "nginx.conf"
    headers = """proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $http_host;
    proxy_set_header X-Real-IP $remote_addr; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Forwarded-Host $http_host; proxy_set_header X-Forwarded-Port $server_port;"""
    config.write_text(
        f"""daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/nginx.err;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 100000000; keepalive_timeout 600s; http2_max_concurrent_streams 100; {temp_paths(folder, "nginx")}
  upstream origin {{ server 127.0.0.1:{origin.port}; keepalive 320; keepalive_requests 100000000; }}
  upstream grpc {{ server 127.0.0.1:{grpc.port}; keepalive 320; keepalive_requests 100000000; }}
  server {{ listen 127.0.0.1:{plain} http2; listen 127.0.0.1:{tls} ssl http2; listen 127.0.0.1:{tls1} ssl;
    ssl_certificate {cert}; ssl_certificate_key {key}; ssl_protocols TLSv1.3;
    location /files/ {{ proxy_pass http://origin; {headers} }}
    location /pkg.Service/ {{ grpc_pass grpc://grpc; }} }} }}
"""
    )
    process = Process("nginx", ["nginx", "-c", str(config)], 0, plain, folder / "nginx.log")
    return process, plain, tls, tls1


def start_usher(folder, origin, grpc, binary, cert, key):
    ports = [free_port(), free_port(), free_port()]
    words = usher_words(binary, ports, folder / "usher", "memory")
    known = subprocess.run([str(binary), "serve", "--help"], capture_output=True, text=True, check=True).stdout
    tls = free_port() if "--tls-listen" in known else None
    if tls:
        words += ["--tls-listen", f"127.0.0.1:{tls}"]
    process = Process("usher", words, 0, ports[0], folder / "usher.log")
    wait_for(ports[1])
    pool = {"size": 320, "idle_timeout": 600, "requests": 100000000}
    admin(ports[1], "PUT", "/routes/files", {"uri": "/files/*", "upstream": {"nodes": {f"127.0.0.1:{origin.port}": 1}, "keepalive_pool": pool}})
    admin(ports[1], "PUT", "/routes/grpc", {"uri": "/pkg.Service/*", "upstream": {
        "scheme": "grpc", "nodes": {f"127.0.0.1:{grpc.port}": 1}, "keepalive_pool": pool}})
    if tls:
        admin(ports[1], "PUT", "/ssls/bench", {"cert": cert.read_text(), "key": key.read_text(), "snis": [HOST]})
    return process, ports[0], tls


def load(door, path, options, extra):
    words = ["taskset", "-c", "1", "h2load", "-t1", f"-c{options.connections}", f"-m{options.streams}", "-D", str(options.seconds), *extra,
             "--connect-to", door.to, f"{door.url}{path}"]
    before = door.process.cpu_ns()
    text = subprocess.run(words, capture_output=True, text=True, check=True).stdout
    used = door.process.cpu_ns() - before
    counts = re.search(r"requests: \d+ total, \d+ started, (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored", text)
    if not counts:
        raise SystemExit(f"h2load said nothing of its requests:\n{text}")
    done, good = int(counts.group(1)), int(counts.group(2))
    # What is on its way when the time is over is no failure; anything else is. Of another server a few are shown rather than ending the run.
    failed = done - good
    if not good or failed > (0 if door.name == "usher" else done // 100):
        raise SystemExit(f"{door.name} failed under load at {door.url}{path}:\n{text}")
    return {"cpu_us": used / 1000 / done, "rps": good / options.seconds, "rss": door.process.rss_mib(), "failed": failed}


def compare(title, doors, path, options, extra=()):
    for door in doors:
        door.process.signal(signal.SIGSTOP)
    rows = {door.name: [] for door in doors}
    for _ in range(options.rounds):
        order = list(doors)
        random.shuffle(order)
        for door in order:
            door.process.signal(signal.SIGCONT)
            rows[door.name].append(load(door, path, options, extra))
            door.process.signal(signal.SIGSTOP)
    for door in doors:
        door.process.signal(signal.SIGCONT)
    print(f"\n### {title}\n\n| contender | CPU beside nginx | CPU per request | requests/s | failed | RSS |\n|---|---|---|---|---|---|")
    for name, slices in rows.items():
        ratio = statistics.median(s["cpu_us"] / n["cpu_us"] for s, n in zip(slices, rows["nginx"]))
        median = lambda what: statistics.median(s[what] for s in slices)
        print(f"| {name} | {ratio:.2f} | {median('cpu_us'):.1f} us | {median('rps'):.0f} | {sum(s['failed'] for s in slices)} | {slices[-1]['rss']:.0f} MiB |", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seconds", type=int, default=2, help="length of a slice")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--streams", type=int, default=10, help="open at once on each connection")
    parser.add_argument("--binary", type=pathlib.Path, default=ROOT / "target/release/usher")
    options = parser.parse_args()
    os.environ["USHER_ADMIN_KEY"] = KEY
    os.environ.setdefault("USHER_LOG", "warn")
    for tool in ("nginx", "h2load", "openssl"):
        if not shutil.which(tool):
            raise SystemExit(f"{tool} is missing; on Debian: apt-get install nginx nghttp2-client openssl")

    folder = pathlib.Path(tempfile.mkdtemp(prefix="usher-bench-"))
    running = []
    try:
        cert, key = certificate(folder)
        origin = start_origin(folder)
        running.append(origin)
        grpc = start_grpc_origin(folder)
        running.append(grpc)
        nginx, nginx_plain, nginx_tls, nginx_tls1 = start_nginx(folder, origin, grpc, cert, key)
        running.append(nginx)
        usher, usher_plain, usher_tls = start_usher(folder, origin, grpc, options.binary, cert, key)
        running.append(usher)
        plain = [Door(nginx, f"http://{HOST}", nginx_plain), Door(usher, f"http://{HOST}", usher_plain)]
        compare("HTTP/2 without TLS, 1 KB", plain, "/files/1k", options)
        compare("HTTP/2 without TLS, 100 KB", plain, "/files/100k", options)
        message = folder / "message"
        message.write_bytes(b"\0\0\0\0\5hello")
        call = ["-d", str(message), "-H", "content-type: application/grpc", "-H", "te: trailers"]
        compare("gRPC, one message each way", plain, "/pkg.Service/Method", options, call)
        if usher_tls:
            secure = [Door(nginx, f"https://{HOST}", nginx_tls), Door(usher, f"https://{HOST}", usher_tls)]
            compare("HTTP/2 over TLS 1.3, 1 KB", secure, "/files/1k", options)
            older = [Door(nginx, f"https://{HOST}", nginx_tls1), Door(usher, f"https://{HOST}", usher_tls)]
            compare("HTTP/1.1 over TLS 1.3, 1 KB", older, "/files/1k", options, ["--h1"])
        else:
            print("\nThis Usher serves no TLS: that part is left out.")
    finally:
        for process in reversed(running):
            process.stop()
        shutil.rmtree(folder, ignore_errors=True)


main()
