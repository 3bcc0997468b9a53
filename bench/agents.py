#!/usr/bin/env python3
"""What the tools ask of a model, beside those of apisix-mcp: the tables of docs/agent-bench.md.

Installs apisix-mcp of npm into a temporary folder, says the same things to both through the tests of `crates/gateway/tests/e2e/bench`, each against a
gateway of its own on loopback, and prints both tables with the versions and the date. Needs npm, the network for it, and cargo-nextest.
"""

import argparse
import datetime
import os
import pathlib
import subprocess
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
VERSION = "0.0.7"


def said(*words):
    """What a program says of itself, in one line."""
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.strip()


def run_test(name, more, **variables):
    """Runs one test of the binary's, with these variables."""
    words = ["cargo", "nextest", "run", "--workspace", "--retries", "0", *more, "-E", f"test(={name})"]
    subprocess.run(words, check=True, cwd=ROOT, env={**os.environ, **variables})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", default=VERSION, help=f"the version of apisix-mcp ({VERSION})")
    version = parser.parse_args().version
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        quiet = ["--no-audit", "--no-fund", "--loglevel", "error"]
        subprocess.run(["npm", "install", *quiet, "--prefix", folder, f"apisix-mcp@{version}"], check=True)
        program = folder / "node_modules/apisix-mcp/dist/index.js"
        own, beside = folder / "own.md", folder / "beside.md"
        run_test("bench::a_good_model_does_every_task_within_its_limit", [], BENCH=str(own))
        run_test(
            "bench::beside::apisix_mcp_is_asked_for_the_same",
            ["--run-ignored", "only"],
            APISIX_MCP=str(program),
            BENCH_BESIDE=str(beside),
        )
        print(f"\nUsher:\n\n{own.read_text()}")
        print(f"apisix-mcp {version}, Node {said('node', '--version')}, {datetime.date.today()}:\n\n{beside.read_text()}")


if __name__ == "__main__":
    main()
