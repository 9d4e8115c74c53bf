"""Ask an engine's own code on random configurations, and compare with the planner.

    make conformance
    python -m benchmarks.conformance vllm --cases 500
    python -m benchmarks.conformance sglang --cases 200 --seed 7

The engine's wheel runs in an environment of its own on the CPU: no GPU is needed, and no weights
are loaded. Printed are the counts, and every difference with its configuration.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

from benchmarks.conformance.asking import (
    CLOSED,
    ENVIRONMENTS,
    answers,
    sglang_question,
    vllm_question,
)
from benchmarks.conformance.drawing import draw_sglang, draw_vllm
from benchmarks.suites import sglang_cases, vllm_cases
from benchmarks.suites.result import CaseResult
from benchmarks.suites.vllm_quant import SMALL_SCALES
from planner.errors import InputError

ROOT = Path(__file__).parents[2]
ENGINES = {"vllm": (draw_vllm, vllm_question), "sglang": (draw_sglang, sglang_question)}
OURS = ("AttributeError", "ImportError", "ModuleNotFoundError", "NameError", CLOSED)
"""Errors of the stand-ins, which say nothing of the engine."""


def drawn(
    draw: Callable[[Random], dict[str, Any]], seed: int, count: int
) -> Iterator[dict[str, Any]]:
    """Yield the cases of a seed; a longer run begins with those of a shorter one."""
    for number in range(count):
        yield draw(Random(f"{seed} {number}"))


def kept(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the cases of a file of the suite, without their answers."""
    asked = ("case", "base_model", "quantization_config")
    for case in json.loads(path.read_text("utf-8"))["cases"]:
        if "available" in case["case"]:
            yield {name: case[name] for name in asked if name in case}


def _gpu(case: dict[str, Any]) -> str:
    return str((case.get("case") or case["input"])["gpu"])


def compared(engine: str, case: dict[str, Any], answer: dict[str, Any]) -> CaseResult:
    """Return the engine's answer beside the planner's."""
    if engine == "vllm":
        scales = None
        if "quantization_config" in case:
            scales = SMALL_SCALES
        return vllm_cases.compare({**case, **answer}, ROOT, weights=scales)
    result = sglang_cases.compare({"id": "", **case, **answer}, ROOT)
    # What loading raises is not asked: no modules are built.
    expected = {k: v for k, v in result.expected.items() if k != "model_load_errors"}
    return replace(result, expected=expected)


def judged(
    engine: str, case: dict[str, Any], answer: dict[str, Any]
) -> tuple[str, CaseResult | None]:
    """Return what a case came to, in words, and the comparison behind it."""
    if str(answer.get("error", "")).startswith(OURS):
        return "the engine could not be asked", None
    result = compared(engine, case, answer)
    if result.unasked is not None:
        return "the planner has no word for it", result
    refused = "error" in answer
    if result.failure is not None:
        return (OTHER_WORDS if refused else "refused by the planner"), result
    if result.agrees:
        return ("refused by both, alike" if refused else "equal in every field"), result
    if refused and set(result.wrong) == {"error"}:
        planned = result.answered.get("error") is not None
        return (OTHER_WORDS if planned else "refused by the engine"), result
    return "different", result


OTHER_WORDS = "refused by both, in other words"


GOOD = ("equal in every field", "refused by both, alike", OTHER_WORDS)


def told(
    number: int, case: dict[str, Any], answer: dict[str, Any], result: CaseResult | None
) -> str:
    """Return one difference: the configuration, then theirs and ours."""
    asked = case.get("case") or {**case["input"]["flags"], **case["input"]}
    words = " ".join(f"{key}={value}" for key, value in asked.items() if key != "flags")
    lines = [f"#{number} {words}"]
    if result is None:
        return "\n".join([*lines, f"    {answer['error'][:300]}"])
    if result.problem:
        lines.append(f"    ours: {result.problem}; theirs: {str(answer.get('error'))[:200]}")
        return "\n".join(lines)
    for field in result.wrong:
        theirs, ours = result.expected[field], result.answered.get(field)
        lines.append(f"    {field}: theirs {theirs}, ours {ours}")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    """Ask, compare, print; status 1 where something differs."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.conformance",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("engine", choices=tuple(ENGINES))
    parser.add_argument("--cases", type=int, default=100, metavar="N")
    parser.add_argument("--seed", type=int, default=0, metavar="N")
    parser.add_argument("--again", type=Path, metavar="FILE", help="the cases of a suite's file")
    parser.add_argument(
        "--answers", type=Path, metavar="FILE", help="compare what --write kept; ask nothing anew"
    )
    parser.add_argument("--environment", type=Path, metavar="FOLDER")
    parser.add_argument("--write", type=Path, metavar="FILE", help="keep the engine's answers")
    parser.add_argument("--gpus", default="", metavar="NAME,...", help="only cases on these")
    parser.add_argument("--words", action="store_true", help="print refusals in other words, too")
    asked = parser.parse_args(argv)
    environment = asked.environment or ENVIRONMENTS / asked.engine
    draw, question_of = ENGINES[asked.engine]
    if asked.answers:
        cases = json.loads(asked.answers.read_text("utf-8"))["cases"]
    else:
        cases = list(kept(asked.again) if asked.again else drawn(draw, asked.seed, asked.cases))
    if asked.gpus:
        wanted = asked.gpus.split(",")
        cases = [case for case in cases if _gpu(case) in wanted]
    cases.sort(key=_gpu)
    counts: Counter[str] = Counter()
    answered = []
    with tempfile.TemporaryDirectory() as folder:
        try:
            found: Iterable[dict[str, Any]] = cases
            if not asked.answers:
                questions = (question_of(case, Path(folder)) for case in cases)
                found = answers(asked.engine, environment, questions)
            for number, answer in enumerate(found):
                case = cases[number]
                answered.append({**case, **answer})
                words, result = judged(asked.engine, case, answer)
                counts[words] += 1
                if words not in GOOD or (asked.words and words == OTHER_WORDS):
                    print(f"{words}: {told(number, case, answer, result)}", flush=True)
        except InputError as error:
            print(f"conformance: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt:
            print(f"stopped after {len(answered)} of {len(cases)}", file=sys.stderr)
        finally:
            if asked.write and answered:
                kept_answers = {"engine": asked.engine, "cases": answered}
                asked.write.write_text(json.dumps(kept_answers, indent=1), "utf-8")
    names = ("version", "vllm_version")
    release = next((a[name] for a in answered for name in names if name in a), "")
    print(f"\n{asked.engine} {release}: {len(answered)} configurations")
    for words, count in counts.most_common():
        print(f"{count:6} {words}")
    return 0 if set(counts) <= set(GOOD) else 1


if __name__ == "__main__":
    sys.exit(main())
