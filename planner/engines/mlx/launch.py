"""The command that starts mlx-lm's server as planned."""

from __future__ import annotations

import json

from planner.engines.engine import Deployment, Launch
from planner.engines.mlx.answer import MlxAnswer
from planner.engines.mlx.options import KEPT_CACHES, PROMPTS
from planner.engines.options import written_words
from planner.engines.yarn import yarn_parameters


def launch_of(deployment: Deployment, answer: MlxAnswer) -> Launch:
    """Return `mlx_lm.server` with exactly the flags that the plan assumed."""
    options = answer.options
    argv = ["mlx_lm.server", "--model", deployment.checkpoint.id, *written_words(options)]
    if options.prompt_cache_size is not None or answer.keeping != KEPT_CACHES:
        argv += ["--prompt-cache-size", str(answer.keeping)]
    prompts, held = answer.prompts, answer.capacity.sequences
    fewer = 0 < held < min(deployment.concurrency, options.decode_concurrency)
    if fewer and options.kv_bits is None:  # the others wait
        prompts = min(prompts, held)
        argv += ["--decode-concurrency", str(held)]
    if prompts != (1 if options.kv_bits is not None else PROMPTS):
        argv += ["--prompt-concurrency", str(prompts)]
    notes = [f"install it first: pip install mlx-lm=={options.version}"]
    if options.iogpu_wired_limit_mb is not None:
        notes.append(f"before: sudo sysctl iogpu.wired_limit_mb={options.iogpu_wired_limit_mb}")
    model = deployment.checkpoint.model
    if deployment.yarn and deployment.context > model.max_position_embeddings:
        rope = json.dumps(yarn_parameters(model, deployment.context))
        where = "text_config of config.json" if model.vision is not None else "config.json"
        notes.append(f'in {where}, set "rope_parameters" to {rope}')
    notes.append(
        f"the server does not bound a request: keep a prompt and its max_tokens within"
        f" {deployment.context:,} tokens together"
    )
    return Launch(argv=tuple(argv), notes=tuple(notes), model=(deployment.checkpoint.id,))
