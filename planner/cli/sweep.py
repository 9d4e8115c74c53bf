"""`qwenplan sweep`: every combination of some lists, one row each, in a file."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from planner.cli.lists import names_in
from planner.cli.spellings import SPELLINGS
from planner.engines.yarn import tokens_of
from planner.errors import InputError
from planner.units import check_count, counted, parse_tokens

if TYPE_CHECKING:
    from concurrent.futures import Executor

    import pandas as pd

STOPPED = 130
WRONG = 2
REASONS = 3
"""Why rows have no plan: so many reasons are said, the file has all."""
_KEPT = (
    "what you did not name was chosen for the first context and number of requests and kept;"
    " qwenplan plan may take a smaller checkpoint or KV cache there"
)
MOST = 1_000_000
"""Values that one range may stand for."""
MOST_ROWS = 1_000_000_000
"""Rows that one sweep may write: at a million a second a quarter of an hour, and some 100 GB."""


def sweep(
    models: Annotated[str, typer.Argument(metavar="MODELS", help="Models, with commas between.")],
    on: Annotated[
        str,
        typer.Option(
            "--on",
            help="Hardware, with commas or semicolons: h100,2x rtx-4090; 3090 + 4090 is one machine.",
        ),
    ],
    out: Annotated[str, typer.Option("--out", metavar="FILE", help="A .parquet or .csv file.")],
    context: Annotated[
        str, typer.Option(*SPELLINGS["context"], help="Lists and ranges: 32k, 4k:1M:x2, 1k:9k:+1k.")
    ] = "32k",
    concurrency: Annotated[
        str, typer.Option(*SPELLINGS["concurrency"], help="Lists and ranges: 1,8,64 or 1:256:x2.")
    ] = "1",
    precision: Annotated[
        str | None,
        typer.Option(*SPELLINGS["precision"], help="How weights are stored, with commas."),
    ] = None,
    engine: Annotated[
        str | None,
        typer.Option(*SPELLINGS["engine"], help="Engines, with commas; without it what suits."),
    ] = None,
    kv_cache_dtype: Annotated[
        str,
        typer.Option(*SPELLINGS["kv_cache_dtype"], help="Formats of the KV cache, with commas."),
    ] = "auto",
    yarn: Annotated[bool, typer.Option("--yarn", help="Allow contexts beyond the native.")] = False,
    verdicts: Annotated[
        bool, typer.Option("--verdicts", help="Say every verdict in words; much slower.")
    ] = False,
    speed: Annotated[bool, typer.Option("--speed", help="Estimate decode speeds as well.")] = False,
    workers: Annotated[
        int, typer.Option("--workers", min=0, help="Processes; 0 plans in this one.")
    ] = 0,
    dask: Annotated[
        str | None,
        typer.Option("--dask", metavar="ADDRESS", help="A Dask scheduler whose workers plan."),
    ] = None,
) -> int:
    """Plan every combination and write one row for each.

    Checkpoint, engine and KV cache that you do not name are chosen once for each model and machine,
    for the first context and number of requests: the other rows say how far that goes, where
    `qwenplan plan` would choose anew.

    Rows are written as they come: what is written when you press Ctrl-C stays.
    """
    from planner.sweeping import sweep_frames

    path = _writable(out)
    before = path.exists()
    asked = {
        "models": names_in(models),
        "on": names_in(on),
        "precisions": names_in(precision),
        "engines": names_in(engine),
        "kv_cache_dtypes": names_in(kv_cache_dtype),
        "contexts": numbers(context, tokens_of, what="context", plain=parse_tokens),
        "concurrencies": numbers(concurrency, _count, what="concurrency"),
    }
    total = 1
    for values in asked.values():
        total *= len(values) if values is not None else 1
    if total > MOST_ROWS:
        raise InputError(
            f"these lists make {total:,} rows, and one sweep writes at most {MOST_ROWS:,};"
            " widen the steps, such as 4k:1M:x2"
        )
    done = missed = 0
    without: Counter[str] = Counter()
    try:
        with _pool(workers, dask) as executor, Table(path) as table:
            for frame in sweep_frames(
                executor=executor, yarn=yarn, speed=speed, verdicts=verdicts, **asked
            ):
                try:
                    table.add(frame)
                except OSError as error:
                    _show("")
                    kept = f"; {counted(done, 'row')} of {total:,} are there" if done else ""
                    why = f"{error.strerror or error}{kept}"
                    raise InputError(f"--out {out}: cannot be written: {why}") from None
                done += len(frame)
                without.update(frame["error"].dropna())
                missed += int((frame["error"].isna() & ~frame["fits"].fillna(value=False)).sum())
                _show(f"{done:,} of {total:,} rows")
    except KeyboardInterrupt:
        _show("")
        kept = f"{done:,} of {total:,} rows are in {out}" if done else "no row was written"
        typer.echo(f"qwenplan: stopped; {kept}", err=True)
        return STOPPED
    _show("")
    typer.echo(f"{counted(done, 'row')} in {out}{', in place of what was there' if before else ''}")
    many = len(asked["contexts"] or ()) * len(asked["concurrencies"] or ()) > 1
    if missed and many and None in (precision, engine):
        typer.echo(
            f"qwenplan: {counted(missed, 'row')} {'do' if missed > 1 else 'does'} not fit: {_KEPT}",
            err=True,
        )
    _say_what_failed(without)
    return WRONG if without.total() == done else 0


def _say_what_failed(without: Counter[str]) -> None:
    """Say why rows have no plan, the commonest reasons in words."""
    for reason, rows in without.most_common(REASONS):
        typer.echo(f"qwenplan: {counted(rows, 'row')} without a plan: {reason}", err=True)
    rest = without.total() - sum(rows for _, rows in without.most_common(REASONS))
    if rest:
        typer.echo(
            f"qwenplan: {counted(rest, 'more row')} without a plan; the column error says why",
            err=True,
        )


class Table:
    """A file that rows are added to, Parquet or CSV by its name.

    Closing it makes the file whole, however many pieces came.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._writer: Any = None

    def __enter__(self) -> Table:
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None and self.path.suffix == ".parquet":
            self._writer.close()

    def add(self, frame: pd.DataFrame) -> None:
        """Write the rows of `frame` behind those that are there."""
        if self.path.suffix == ".csv":
            first = self._writer is None
            frame.to_csv(self.path, mode="w" if first else "a", header=first, index=False)
            self._writer = self.path
            return
        import pyarrow as pa
        from pyarrow import parquet

        rows = pa.Table.from_pandas(frame, preserve_index=False)
        if self._writer is None:
            self._writer = parquet.ParquetWriter(self.path, rows.schema)
        self._writer.write_table(rows)


def numbers(
    text: str,
    read: Callable[[str], int],
    *,
    what: str,
    plain: Callable[[str], int] | None = None,
) -> tuple[int, ...]:
    """Return the numbers that lists and ranges stand for: "1,8,64", "4k:1M:x2", "1k:9k:+1k".

    The end of a range belongs to it.

    Args:
        text: what was typed.
        read: reads one number.
        plain: reads what a range counts by, where `read` says less than what is written: the
            family's 1M is 1,010,000 tokens, and yet twice 512k; None: `read`.
        what: the name of the quantity, for the error line.

    Raises:
        InputError: it cannot be read, or never ends.
    """
    found: list[int] = []
    for part in text.split(","):
        bounds = [bound.strip() for bound in part.split(":")]
        if len(bounds) == 1:
            found.append(read(bounds[0]))
            continue
        if len(bounds) != 3 or bounds[2][:1] not in ("x", "+"):
            raise InputError(
                f"{what}: cannot read {part!r}; write a range as 4k:1M:x2 or 1k:9k:+1k"
            )
        value, end, step = map(plain or read, (bounds[0], bounds[1], bounds[2][1:]))
        last = read(bounds[1])
        times = bounds[2][0] == "x"
        if times and step < 2:
            raise InputError(f"{what}: {part!r} never ends; multiply by 2 or more")
        if value > end:
            raise InputError(f"{what}: {part!r} counts down; write the smaller number first")
        while value <= end:
            if value <= last or value == end:
                found.append(min(value, last))
            if len(found) > MOST:
                raise InputError(f"{what}: {part!r} is more than {MOST:,} values")
            value = value * step if times else value + step
    return tuple(dict.fromkeys(found))


def _count(text: str) -> int:
    if not text.isascii() or not text.isdigit():
        raise InputError(f"concurrency: cannot read {text!r}; write a whole number such as 8")
    return check_count(int(text), what="concurrency")


def _writable(out: str) -> Path:
    path = Path(out)
    if path.suffix not in (".parquet", ".csv"):
        raise InputError(f"--out {out}: name a .parquet or a .csv file")
    if path.is_dir():
        raise InputError(f"--out {out}: that is a folder; name a file")
    if not path.absolute().parent.is_dir():
        raise InputError(f"--out {out}: there is no folder {path.absolute().parent}")
    return path


def _pool(workers: int, dask: str | None) -> AbstractContextManager[Any]:
    if dask is not None:
        return _cluster(dask)
    if not workers:
        return nullcontext()
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"))


@contextmanager
def _cluster(address: str) -> Iterator[Executor]:
    """Connect to a Dask scheduler; its workers need this version of qwenplan."""
    try:
        distributed = import_module("distributed")
    except ImportError:
        raise InputError("--dask: install qwenplan[dask] first") from None
    try:
        client = distributed.Client(address)
    except (OSError, ValueError) as error:
        raise InputError(f"--dask {address}: {error}") from None
    with client:
        yield client.get_executor(pure=False)


def _show(text: str) -> None:
    """Show progress on one line of a terminal; an empty text takes it away."""
    if sys.stderr.isatty():
        sys.stderr.write("\r" + text.ljust(60) + ("" if text else "\r"))
        sys.stderr.flush()
