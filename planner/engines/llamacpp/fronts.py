"""Say what programs that run llama.cpp inside are told for a plan, and what of it is not theirs.

Ollama and the programs with windows place layers themselves: with weights in RAM, split and speed of
a plan are llama-server's. Source: as `launch` on Ollama, `relatives` on the others.
"""

from __future__ import annotations

from collections.abc import Iterator

from planner.engines.engine import Allocation, Deployment
from planner.engines.face import InFront
from planner.engines.llamacpp.answer import LlamacppAnswer
from planner.engines.llamacpp.launch import hub_file, in_library, ollama_serve
from planner.units import format_tokens


def in_front(title: str, deployment: Deployment, answer: Allocation) -> InFront:
    """Return the program's own commands or steps, and what it does otherwise where RAM holds weights.

    Args:
        title: the program, as people write it.
        deployment: what is planned.
        answer: what llama-server makes of it.
    """
    if not isinstance(answer, LlamacppAnswer) or not answer.starts:
        return InFront()
    answer = answer.served
    if title == "KoboldCpp":
        return InFront(typed=(" ".join(_kobold(deployment, answer)),))
    typed, steps = tuple[str, ...](), ""
    if title != "Ollama":
        steps = _steps(title, deployment)
    elif not in_library(deployment.checkpoint.id):  # the launch command says a tag's itself
        typed = _ollama(deployment, answer)
    moe = answer.fitted.n_cpu_moe
    if not moe and not answer.placement.outside:
        return InFront(typed=typed, steps=steps)
    what = "its experts" if moe else "its layers"
    lacks = " (it has no switch for experts)" if moe and title == "Ollama" else ""
    differs = (
        f"split and speed are llama-server's with {what} in RAM; {title} splits by rules of its"
        f" own{lacks} and may be slower: measure there, or type the llama-server command"
    )
    return InFront(typed=typed, steps=steps, notes=(differs,))


def _ollama(deployment: Deployment, answer: LlamacppAnswer) -> tuple[str, ...]:
    """Ollama's server and model."""
    remote = hub_file(deployment.checkpoint)
    serve = ollama_serve(deployment, answer)
    if remote is None:
        made = "# with the Modelfile that --emit ollama writes (on the page: Download):"
        return serve, made, "ollama create NAME -f Modelfile; ollama run NAME"
    return serve, f"ollama run hf.co/{remote}"


def _steps(title: str, deployment: Deployment) -> str:
    """What is clicked in a program with windows."""
    checkpoint = deployment.checkpoint
    name = _file(deployment)
    where = f" of {checkpoint.id}" if name != checkpoint.id else ""
    return (
        f"in {title}: load {name}{where} and set its context to"
        f" {format_tokens(deployment.context)} tokens"
    )


def _file(deployment: Deployment) -> str:
    checkpoint = deployment.checkpoint
    return checkpoint.files[0][0] if checkpoint.files else checkpoint.id


def _kobold(deployment: Deployment, answer: LlamacppAnswer) -> Iterator[str]:
    fitted = answer.fitted
    yield from ("koboldcpp", "--model", _file(deployment))
    yield from ("--contextsize", str(deployment.context))
    yield from ("--gpulayers", str(fitted.placement.n_gpu_layers))
    if fitted.n_cpu_moe:
        yield from ("--moecpu", str(fitted.n_cpu_moe))
