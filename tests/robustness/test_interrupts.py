"""Ctrl-C at moments that are hard to hit: each program below is interrupted at one of them."""

from __future__ import annotations

import subprocess
import sys
from datetime import date
from pathlib import Path

import pytest

from tests.support import bar_table, file_key, grid, write_file
from warehouse.errors import ExitCode

IN_DUCKDB = """
import enum, signal, sys
made, moments = enum.EnumType.__new__, [1]
def make(metaclass, name, *rest, **named):
    if name == "StatementType" and moments:  # one of those that DuckDB makes while it loads
        signal.raise_signal(moments.pop() and signal.SIGINT)
    return made(metaclass, name, *rest, **named)
enum.EnumType.__new__ = make
class Midway:  # DuckDB 1.5 makes none
    def find_spec(self, name, path=None, target=None):
        if name.startswith("duckdb.") and moments:
            signal.raise_signal(moments.pop() and signal.SIGINT)
sys.meta_path.insert(0, Midway())
"""
IN_THREAD = """
import signal, threading
start = threading.Thread.start
def start_interrupted(thread):
    start(thread)
    threading.Thread.start = start
    signal.raise_signal(signal.SIGINT)
threading.Thread.start = start_interrupted
"""
OPENED = """
import warehouse
try:
    warehouse.open("nowhere")
except KeyboardInterrupt:
    print("interrupted")
try:
    warehouse.open("nowhere")
except warehouse.WarehouseError:
    print("asked again")
"""
IN_CLICK = """
import signal, sys
class Midway:
    def find_spec(self, name, path=None, target=None):
        if name == "click.core":
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Midway())
"""
IN_LIBRARIES = """
import signal, sys, warehouse
moments = ["yaml.loader", "pandas.core.frame", "polars.dataframe"]
class Midway:  # between two modules of the package
    def find_spec(self, name, path=None, target=None):
        if name in moments:
            moments.remove(name)
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Midway())
wh = warehouse.open(sys.argv[1])
answer = wh.sql("select 1 as a")
for read in (lambda: wh.queries().fetchall(), answer.df, answer.pl):
    try:
        read()
        print("not interrupted")
    except KeyboardInterrupt:
        print(len(read()) > 0)
"""
REFRESHED = """
import os, signal, sys, threading, time, warehouse
wh = warehouse.open(sys.argv[1])
came = 0
for count in range(15):
    try:
        timer = threading.Timer(count * 0.004, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        until = time.monotonic() + 2
        while time.monotonic() < until:
            wh.refresh()
            assert wh.generation and wh.sql("select count(*) from flow_features").receipt
        timer.join()
    except KeyboardInterrupt:
        came += 1
print(came, wh.sql("select 1").fetchall())
"""
CHECKED = """
import os, signal, sys, threading, time
from pathlib import Path
from warehouse.lake.validate.vendor_file import check_file
from warehouse.errors import FileRefusedError
from tests.support import file_key
path, key = Path(sys.argv[1]), file_key("flow", "2025-09", interval="1m")
check_file(path, key, None)
for count in range(20):
    after_s = count * 0.003  # a quarter of the time is DuckDB's
    timer = threading.Timer(after_s, os.kill, (os.getpid(), signal.SIGINT))
    try:
        timer.start()
        until = time.monotonic() + 2
        while time.monotonic() < until:
            check_file(path, key, None)
    except KeyboardInterrupt:
        pass
"""


def run(program: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", program, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize("verb", [["sql", "select 1"], ["build"], ["verify"]])
def test_interrupt_when_duckdb_is_loading_then_the_command_ends_with_its_code(
    tmp_path: Path, verb: list[str]
) -> None:
    program = IN_DUCKDB + "from warehouse import cli\ncli.main(sys.argv[1:])\n"
    done = run(program, "--home", tmp_path, *verb)
    assert done.returncode == ExitCode.INTERRUPTED, done.stderr
    assert done.stderr.strip().startswith("interrupted; ")


def test_interrupt_when_the_command_line_is_loading_then_it_ends_with_its_code() -> None:
    done = run(IN_CLICK + "from warehouse.__main__ import main\nmain()\n", "--version")
    assert (done.returncode, done.stdout) == (ExitCode.INTERRUPTED, ""), done.stderr
    assert done.stderr.strip().startswith("interrupted; ")


@pytest.mark.parametrize("moment", [IN_DUCKDB, IN_THREAD], ids=["DuckDB loads", "a thread starts"])
def test_interrupt_when_a_home_is_opened_then_it_can_be_opened_again_and_the_process_ends(
    moment: str,
) -> None:
    done = run(moment + OPENED)
    assert (done.returncode, done.stdout) == (0, "interrupted\nasked again\n"), done.stderr


def test_interrupt_when_a_file_is_checked_then_is_not_taken_for_damage(tmp_path: Path) -> None:
    key = file_key("flow", "2025-09", interval="1m")
    path = write_file(tmp_path, key, bar_table("flow", grid(date(2025, 9, 1), 30 * 1440, "1m")))
    done = run(CHECKED, path)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr


def test_interrupt_when_a_library_is_loading_then_it_is_loaded_whole(demo_home: Path) -> None:
    done = run(IN_LIBRARIES, demo_home)
    assert (done.returncode, done.stdout) == (0, "True\n" * 3), done.stderr


def test_interrupt_when_a_session_is_used_then_is_no_other_error(demo_home: Path) -> None:
    done = run(REFRESHED, demo_home)
    assert (done.returncode, done.stdout) == (0, "15 [(1,)]\n"), done.stderr


def test_interrupt_when_ignored_then_a_command_goes_on(tmp_path: Path) -> None:
    ignored = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\n"
    program = IN_DUCKDB + ignored + "from warehouse import cli\ncli.main(sys.argv[1:])\n"
    done = run(program, "--home", tmp_path, "sql", "select 1")
    assert (done.returncode, done.stderr.count("no catalog yet")) == (ExitCode.USAGE, 1)
