"""A plan as an Ollama Modelfile, where the engine underneath is llama.cpp on a GGUF."""

from __future__ import annotations

from planner.emitting.container import heading
from planner.engines import FACES
from planner.errors import InputError
from planner.planning import Plan


def modelfile(plan: Plan) -> str:
    """FROM, num_ctx and num_gpu; what Ollama takes from its environment stands in comments.

    Raises:
        InputError: Ollama does not serve what the plan serves, or cannot be told to.
    """
    make = FACES[plan.engine].modelfile
    if make is None:
        raise InputError(f"Ollama runs GGUF files as llama.cpp does, not {plan.engine_title}")
    assert plan.allocation is not None
    assert plan.launch is not None
    found = make(plan.deployment, plan.allocation, plan.launch)
    if found is None:
        raise InputError("Ollama cannot be told this placement, cache or drafting: use shell")
    if len(f"{found.source}.".splitlines()) > 1:
        raise InputError("a Modelfile cannot name a file that has a line break in its name")
    lines = heading(plan)
    if found.environment:
        words = " ".join(f"{name}={value}" for name, value in found.environment.items())
        lines.append(f"# start the server with: {words} ollama serve")
    lines.append("# save this as Modelfile, then: ollama create NAME -f Modelfile; ollama run NAME")
    lines.append(f"FROM {found.source}")
    lines += [f"PARAMETER {name} {value}" for name, value in found.parameters.items()]
    return "\n".join(lines) + "\n"
