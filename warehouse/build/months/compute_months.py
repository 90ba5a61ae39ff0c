"""Computes the months of a build as jobs, one after the other or in several processes.

A job is the SQL of one month and the name of its file; the jobs of one mart share their tables and
views as a task. A file has the same bytes whichever process writes it, and appears atomically. So
the job of a killed worker is simply repeated. A worker holds the home's lock as long as it lives.
"""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from typing import IO, Any, Protocol, Self

import duckdb

from warehouse.build.months.stored import write_month
from warehouse.config import Settings, child_environment
from warehouse.engine import connect, interrupted_too, memory_limit
from warehouse.errors import BuildError
from warehouse.files import leftovers
from warehouse.home import Home, held_lock

# Bytes of vendor files above which a second worker pays off: they take a second to compute, and
# a worker 0.3 s to start (docs/scale.md).
_WORTH_A_WORKER = 24 << 20

# Bytes of vendor files that take as long to compute as a character of SQL to plan.
_BYTES_OF_SQL = 200

# Bytes of vendor files, some 150,000 rows, up to which one process computes two jobs at once.
_SMALL = 16 << 20

# DuckDB's memory below which a worker would only spill.
_LEAST_MEMORY = 1 << 30

_TRIES = 2

OnDone = Callable[["Job", Path], None]

# DuckDB variables that hold lists: type of the items, and the items.
Lists = dict[str, tuple[str, list[Any]]]


class Task(Protocol):
    """Shared by the jobs of one mart or dataset; it can be pickled."""

    def open(self, connection: duckdb.DuckDBPyConnection) -> str:
        """Create the tables and views that the jobs read; the columns of the files, as SQL.

        Other tasks of the same build may have created some of them. The variables of a job are set.
        """

    def begin(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Prepare another connection to compute the jobs of this and of the build's other tasks."""


@dataclass(frozen=True, slots=True)
class Job:
    """One month to be computed.

    Attributes
    ----------
    name
        Mart or dataset, and month.
    rows
        The query, which reads ``lists`` and ``moments``: variables that hold lists and SQL values.
    place
        The file, without the hash of its bytes.
    size_bytes
        Size of the vendor files that it reads, as an estimate of its cost.
    is_sorted
        Whether the rows of the query are already in the order of the file.
    """

    name: str
    task: Task
    rows: str
    lists: Lists
    moments: dict[str, str]
    place: Path
    size_bytes: int
    is_sorted: bool = False


class JobRunner:
    """Computes jobs in this process; what they share is created once."""

    def __init__(self, session: dict[str, str]) -> None:
        self._session = session
        self._opened: list[tuple[Task, str]] = []
        self._connection: duckdb.DuckDBPyConnection | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._connection is not None:
            self._connection.close()

    def compute(self, job: Job) -> Path:
        """Write the file of a job and return its path."""
        return _write(job, *self.opened(job))

    def compute_all(self, jobs: Sequence[Job], done: OnDone) -> None:
        """Compute jobs, small ones two at a time, because each keeps one core busy."""
        are_small = len(jobs) > 1 and max(job.size_bytes for job in jobs) <= _SMALL
        if are_small and has_room_for_two(self._connected()):  # before a task sets its own limits
            # what the smallest reads is soon created, and while one thread computes it, the other
            # creates what the largest reads
            *larger, smallest = _largest_first(jobs)
            self._compute_in_pairs([smallest, *larger], done)
        else:
            for job in jobs:
                done(job, self.compute(job))

    def _compute_in_pairs(self, jobs: Sequence[Job], done: OnDone) -> None:
        """Two threads create in turn what the jobs read, and one computes while the other does."""
        connection = self._connected()
        idle: SimpleQueue[duckdb.DuckDBPyConnection] = SimpleQueue()
        creating = threading.Lock()

        def written(job: Job) -> Path:
            free = idle.get()
            try:
                _set_variables(free, job)
                with creating:
                    columns = self._created(job.task, free)
                return _write(job, free, columns)
            finally:
                idle.put(free)

        with (
            one_thread_each(connection),
            connection.cursor() as other,
            ThreadPoolExecutor(2) as pool,
        ):
            self.opened(jobs[0])
            interrupted_too(other)
            jobs[0].task.begin(other)
            idle.put(connection)
            idle.put(other)
            for job, path in zip(jobs, pool.map(written, jobs), strict=True):
                done(job, path)

    def opened(self, job: Job) -> tuple[duckdb.DuckDBPyConnection, str]:
        """A connection on which the rows of a job can be queried, and the columns of its file."""
        connection = self._connected()
        _set_variables(connection, job)
        return connection, self._created(job.task, connection)

    def _created(self, wanted: Task, connection: duckdb.DuckDBPyConnection) -> str:
        """Create all that the jobs of a task read, once; the columns of its files."""
        columns = next((known for task, known in self._opened if task == wanted), None)
        if columns is None:
            columns = wanted.open(connection)
            self._opened.append((wanted, columns))
        return columns

    def _connected(self) -> duckdb.DuckDBPyConnection:
        if self._connection is None:
            self._connection = connect(self._session)
        return self._connection


def _set_variables(connection: duckdb.DuckDBPyConnection, job: Job) -> None:
    set_lists(connection, job.lists)
    set_moments(connection, job.moments)


def _write(job: Job, connection: duckdb.DuckDBPyConnection, columns: str) -> Path:
    return write_month(connection, job.rows, job.place, selected=columns, is_sorted=job.is_sorted)


def set_lists(connection: duckdb.DuckDBPyConnection, lists: Lists) -> None:
    """Set variables to lists."""
    for name, (kind, values) in lists.items():
        connection.execute(f"set variable {name} = $1::{kind}[]", [values])


def set_moments(connection: duckdb.DuckDBPyConnection, moments: Mapping[str, str]) -> None:
    """Set variables to single values, which are SQL."""
    for name, value in moments.items():
        connection.execute(f"set variable {name} = {value}")


def compute(settings: Settings, jobs: Sequence[Job], done: OnDone) -> None:
    """Compute all jobs; ``done`` is called in this thread with each job and its file.

    Raises
    ------
    BuildError
        The worker that computed a job was killed, and so was the next one.
    """
    count, share = _shared_out(settings, jobs)
    if count < 2:
        with JobRunner(settings.session) as runner:
            runner.compute_all(jobs, done)
        return
    with tempfile.TemporaryFile() as errors, _Workers(share, count, errors) as workers:
        workers.compute(_largest_first(jobs), done)


def _largest_first(jobs: Sequence[Job]) -> list[Job]:
    """The order in which jobs that are computed together end at about the same time."""
    return sorted(jobs, key=lambda job: -job.size_bytes - _BYTES_OF_SQL * len(job.rows))


def _shared_out(settings: Settings, jobs: Sequence[Job]) -> tuple[int, Settings]:
    """The number of processes, and the settings of each: its share of threads and memory."""
    size_bytes = sum(job.size_bytes for job in jobs)
    is_worth = settings.workers is not None or size_bytes >= 2 * _WORTH_A_WORKER
    if len(jobs) < 2 or settings.workers == 1 or not is_worth:
        return 1, settings
    with connect(settings.session) as connection:
        threads, memory_bytes = _limits(connection)
    count = settings.workers or worth_using(size_bytes, threads=threads, memory_bytes=memory_bytes)
    count = min(count, len(jobs))
    limit = f"{max(memory_bytes // count >> 20, 1)}MiB"
    return count, replace(settings, threads=max(1, threads // count), memory_limit=limit)


def worth_using(size_bytes: int, *, threads: int, memory_bytes: int) -> int:
    """The default number of processes, for jobs that read so many bytes in all.

    Examples
    --------
    >>> [worth_using(10 << 30, threads=n, memory_bytes=4 * n << 30) for n in (2, 16, 64)]
    [2, 16, 64]
    >>> worth_using(10 << 30, threads=64, memory_bytes=12 << 30)  # 1 GB each
    12
    >>> worth_using(60 << 20, threads=64, memory_bytes=256 << 30)  # an hourly update
    2
    """
    return max(1, min(threads, size_bytes // _WORTH_A_WORKER, memory_bytes // _LEAST_MEMORY))


def has_room_for_two(connection: duckdb.DuckDBPyConnection) -> bool:
    """Whether two small pieces of work may run at once."""
    threads, memory_bytes = _limits(connection)
    return threads > 1 and memory_bytes >= _LEAST_MEMORY


@contextmanager
def one_thread_each(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    """Let each connection of a DuckDB compute on its own thread only, until the block has ended.

    Otherwise DuckDB wakes another thread for each statement, which takes longer than a small one.
    """
    threads, _ = _limits(connection)
    connection.execute("set threads = 1")
    yield
    connection.execute(f"set threads = {threads}")


def _limits(connection: duckdb.DuckDBPyConnection) -> tuple[int, int]:
    """The number of threads and the bytes of memory that a connection may use."""
    ((threads,),) = connection.execute("select current_setting('threads')::int").fetchall()
    return threads, memory_limit(connection)


# -- several processes ---------------------------------------------------------------------------


class _DiedError(Exception):
    """A worker ended without a response."""


class _Workers:
    """Processes that compute jobs; a context manager that ends all of them."""

    def __init__(self, settings: Settings, count: int, errors: IO[bytes]) -> None:
        self._settings, self._count, self._errors = settings, count, errors
        self._home = Home.of(settings)
        self._children: list[subprocess.Popen[bytes]] = []
        self._threads: list[threading.Thread] = []
        self._is_over = False
        self._changing = threading.Lock()

    def __enter__(self) -> Self:
        interrupted_too(self)
        return self

    def __exit__(self, *error: object) -> None:
        self.interrupt()
        for thread in self._threads:
            thread.join()
        for child in self._children:
            child.wait()
            for pipe in (child.stdin, child.stdout):
                with suppress(OSError):  # what the killed process has not read is still buffered
                    if pipe is not None:
                        pipe.close()
            for spilled in self._home.build.glob(f"spill-{child.pid}-*"):
                shutil.rmtree(spilled, ignore_errors=True)
        for leftover in leftovers(self._home.root, of_lake=False):
            leftover.unlink(missing_ok=True)

    def interrupt(self) -> None:
        """End all processes."""
        with self._changing:
            self._is_over = True
            for child in self._children:
                child.kill()

    def compute(self, jobs: Sequence[Job], done: OnDone) -> None:
        """Compute jobs in this order, each by the next free process."""
        todo: SimpleQueue[Job | None] = SimpleQueue()
        results: SimpleQueue[tuple[Job, Path | Exception]] = SimpleQueue()
        for job in (*jobs, *[None] * self._count):
            todo.put(job)
        for _ in range(self._count):
            thread = threading.Thread(target=self._serve, args=(todo, results), daemon=True)
            self._threads.append(thread)
            thread.start()
        for _ in jobs:
            job, result = results.get()
            if isinstance(result, Exception):
                raise result
            done(job, result)

    def _serve(
        self,
        todo: SimpleQueue[Job | None],
        results: SimpleQueue[tuple[Job, Path | Exception]],
    ) -> None:
        """Give jobs to one process, and to another one if it was killed."""
        child: subprocess.Popen[bytes] | None = None
        while (job := todo.get()) is not None:
            result: Path | Exception | None = None
            for _ in range(_TRIES):
                try:
                    child = child or self._started()
                    result = _asked(child, job)
                    break
                except _DiedError:
                    result = self._killed(job, child)
                    child = None
                except Exception as error:  # passed to the waiting thread, which raises it
                    result = error
                    break
            assert result is not None
            results.put((job, result))

    def _started(self) -> subprocess.Popen[bytes]:
        with self._changing:
            if self._is_over:
                raise _DiedError
            lock = held_lock(self._home)
            child = subprocess.Popen(
                [sys.executable, "-P", "-m", "warehouse.build.months.worker_process"],
                env=child_environment(self._settings),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                pass_fds=() if lock is None else (lock,),
            )
            self._children.append(child)
        assert child.stdin is not None
        _send(child.stdin, self._settings.session)
        return child

    def _killed(self, job: Job, child: subprocess.Popen[bytes] | None) -> BuildError:
        code = None if child is None else child.wait()
        how = f"by signal {-code}" if code is not None and code < 0 else f"with code {code}"
        file = self._errors.fileno()  # the position stays, because the workers write at their own
        last = os.pread(file, 2000, max(os.fstat(file).st_size - 2000, 0))
        printed = last.decode(errors="replace").strip()
        return BuildError(
            f"{job.name}: the process that computed it ended {how}, and so did the"
            f" one before; the old catalog stays" + (f"\n{printed}" if printed else ""),
            next_step=f"free memory, or use fewer processes than {self._count}: warehouse"
            " build --workers 1",
        )


def _asked(child: subprocess.Popen[bytes], job: Job) -> Path | Exception:
    """The response of a worker to a job."""
    assert child.stdin is not None and child.stdout is not None
    try:
        _send(child.stdin, job)
        answer: Path | Exception = pickle.load(child.stdout)
    except (OSError, EOFError, pickle.UnpicklingError) as error:
        raise _DiedError from error
    return answer


def _send(sink: IO[bytes], message: Any) -> None:
    sink.write(pickle.dumps(message))
    sink.flush()


# -- the process ---------------------------------------------------------------------------------


def serve(source: IO[bytes], sink: IO[bytes]) -> None:
    """Compute the jobs from standard input; the process ends with its parent."""
    session = pickle.load(source)
    todo: SimpleQueue[Job] = SimpleQueue()

    def receive() -> None:
        try:
            while True:
                todo.put(pickle.load(source))
        except EOFError:
            os._exit(0)

    threading.Thread(target=receive, daemon=True).start()
    with JobRunner(session) as runner:
        while True:
            job = todo.get()
            try:
                answer: Path | Exception = runner.compute(job)
            except Exception as error:  # raised where the answer arrives
                answer = error
            _send(sink, answer)
