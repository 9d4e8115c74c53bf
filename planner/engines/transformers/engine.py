"""Plan transformers: refusals, allocation, command, log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce
from typing import Any

from planner.bisection import largest_holding, largest_of_each
from planner.columns import choose, is_zero, larger, whole
from planner.engines.columns import Columns
from planner.engines.engine import (
    Capacity,
    Deployment,
    Engine,
    Launch,
    Refusal,
    but_workload,
)
from planner.engines.kinds import kind_refusals
from planner.engines.transformers.activations import peak_causes
from planner.engines.transformers.answer import (
    TransformersAnswer,
    notes_of,
    placement_of,
    start_error,
    warnings_of,
)
from planner.engines.transformers.budget import budgets_of, runtime_term
from planner.engines.transformers.cache import (
    cache_bytes,
    growth_bytes,
    index_token_bytes,
    kv_token_bytes,
    position_token_bytes,
    sequence_state_bytes,
    window_bytes,
)
from planner.engines.transformers.launch import launch_of, log_lines
from planner.engines.transformers.loading import modules
from planner.engines.transformers.options import TransformersOptions, accelerate_source, source
from planner.engines.transformers.placement import (
    APART,
    DISK,
    HOST,
    DeviceMap,
    on_one_gpu,
    place,
)
from planner.engines.transformers.refusals import refusals_of
from planner.layout import Degrees
from planner.memo import Key, remembered
from planner.memory.breakdown import HOST_RANK, Kind, Rank, Term, device_name
from planner.model.spec import LINEAR, ModelSpec
from planner.provenance import Band, Confidence
from planner.units import MAX_COUNT, MIB

PEAK_BAND = 0.1
"""What the allocator adds to the live tensors by rounding and fragments, as a share (assumed)."""

PEAK_BAND_LEAST = 256 * MIB
FLA_BAND = 0.3
"""The same where the peak is a first-order reading that nobody measured."""


class Transformers(Engine[TransformersOptions, TransformersAnswer]):
    """The policy of transformers with accelerate; the release is an option."""

    name = "transformers"
    title = "transformers"
    options_type = TransformersOptions
    degrees = Degrees(pipeline=True, nodes=False, idle=False, automatic=True)
    cache_dtypes = ("bfloat16", "float16", "float32")

    def version(self, options: TransformersOptions) -> str:
        """Return the release that is asked for."""
        return options.version

    def refusals(self, deployment: Deployment) -> tuple[Refusal, ...]:
        """Return why transformers cannot run it; see `refusals`."""
        unknown = kind_refusals(self, deployment)
        return unknown or tuple(refusals_of(deployment))

    def allocate(self, deployment: Deployment) -> TransformersAnswer:
        """Return the placement of the weights, then cache and peak of one call of `generate`.

            GPU = weights on it + copy of an offloaded module + cache of the layers that run on it
                  + activation peak + CUDA context

        Source: transformers 5.23.0 integrations/accelerate.py, cache_utils.py.
        """
        placement, host = _placement(deployment), deployment.system.host_memory_gib
        context, model, placed = (
            deployment.context,
            deployment.checkpoint.model,
            _placed(deployment),
        )
        asked = self._ranks(deployment, context, deployment.concurrency)
        asked = tuple(sorted(asked, key=lambda rank: rank.headroom))
        alone = self._ranks(deployment, context, 1)
        starts = self._holds(deployment, context, 1)
        longest = max(model.max_position_embeddings, context if deployment.yarn else 0)
        sequences = self._sequences(deployment, context)
        shortfall = max(0, *(-rank.headroom for rank in alone)) if placed else 0
        return TransformersAnswer(
            ranks=asked,
            capacity=Capacity(
                sequences=sequences,
                tokens=sequences * context,
                longest_context=_longest(deployment, longest),
                limited_by="GPU memory",
            ),
            starts=starts,
            shortfall=shortfall,
            refusal=None if starts else start_error(deployment, placement, placed=placed),
            kv_cache_dtype=model.dtype,
            placement=placement_of(placement),
            host_bytes=_in_ram(placement),
            warnings=tuple(warnings_of(deployment, placement, host_known=host is not None)),
            notes=tuple(notes_of(deployment, placement)),
            deployment=deployment,
            device_map=placement,
            budgets=budgets_of(deployment),
            cache=cache_bytes(model, batch=1, tokens=context),
        )

    def contexts_alike(self, deployment: Deployment) -> range:
        """Return the contexts up to the native length."""
        return range(1, deployment.checkpoint.model.max_position_embeddings + 1)

    def columns(self, deployment: Deployment, contexts: Any, concurrencies: Any) -> Columns:
        """Return the answers to many workloads at once."""
        sequences = self._sequences(deployment, contexts)
        return Columns.of_ranks(
            self._ranks(deployment, contexts, concurrencies),
            contexts,
            starts=self._holds(deployment, contexts, 1),
            tight=False,
            sequences=sequences,
            tokens=sequences * contexts,
            longest_context=_longest(
                deployment, deployment.checkpoint.model.max_position_embeddings
            ),
            limited_by="GPU memory",
        )

    def _sequences(self, deployment: Deployment, context: Any) -> Any:
        """Return the most sequences of one call; the context may be a column."""
        return largest_of_each(
            lambda batch: self._holds(deployment, context, batch), MAX_COUNT, context
        )

    def _holds(self, deployment: Deployment, context: Any, batch: Any) -> Any:
        """Say whether every device holds its part; numbers or columns."""
        found: Any = _placed(deployment)
        for rank in self._ranks(deployment, context, batch):
            found = found & (rank.headroom >= 0)
        return found

    def _ranks(self, deployment: Deployment, context: Any, batch: Any) -> tuple[Rank, ...]:
        """Return what lies on every device; numbers or columns."""
        placement, host = _placement(deployment), deployment.system.host_memory_gib
        found = [
            self._gpu(deployment, placement, index, context=context, batch=batch)
            for index in range(deployment.layout.accelerators)
        ]
        if placement.on(HOST) or (placement.on(APART) and host is not None):
            found.append(self._host(deployment, placement))
        return tuple(found)

    def _gpu(
        self, deployment: Deployment, placement: DeviceMap, index: int, *, context: int, batch: int
    ) -> Rank:
        accelerator = deployment.system.accelerators[index]
        terms = self._terms(deployment, placement, index, context=context, batch=batch)
        return Rank(
            name=device_name(index, unified=accelerator.is_unified),
            count=1,
            total=accelerator.total_bytes,
            usable=accelerator.total_bytes,
            terms=tuple(terms),
        )

    def _terms(
        self, deployment: Deployment, placement: DeviceMap, index: int, *, context: int, batch: int
    ) -> Iterator[Term]:
        model, options = deployment.checkpoint.model, deployment.options
        kept = sum(module.nbytes for module in placement.on(index))
        yield Term(
            name="weights",
            kind=Kind.WEIGHTS,
            nbytes=kept,
            confidence=deployment.checkpoint.confidence(Confidence.ENGINE_RULE),
            formula="bytes of the modules on this GPU",
            values={"bytes of the modules on this GPU": kept},
            source=accelerate_source("integrations/accelerate.py (infer_auto_device_map)"),
            band=deployment.checkpoint.band_on(kept),
        )
        if placement.offloaded and index == placement.main:
            largest = max(module.largest_part for module in placement.offloaded)
            yield Term(
                name="copy of an offloaded module",
                kind=Kind.WEIGHTS,
                nbytes=largest,
                confidence=Confidence.ENGINE_RULE,
                formula="largest offloaded module",
                values={"largest offloaded module": largest},
                source=accelerate_source("hooks.py (AlignDevicesHook)"),
            )
        layers, head = _running(model, placement, index)
        kinds = tuple(model.layer_types[layer] for layer in layers)
        yield from _cache_terms(model, layers, context=context, batch=batch)
        static = options.cache_implementation == "static"
        causes = peak_causes(
            model,
            options,
            batch=batch,
            prompt=context,
            layers=kinds,
            head=head,
            growth=0 if static else growth_bytes(model, batch=batch, tokens=context),
        )
        if causes:
            fla = options.flash_linear_attention and model.linear is not None
            yield _peak(causes, fla=fla, read=model.streams is not None)
        yield runtime_term()

    def _host(self, deployment: Deployment, placement: DeviceMap) -> Rank:
        kept = _in_ram(placement)
        limit = budgets_of(deployment).host
        return Rank(
            name=HOST_RANK,
            count=1,
            total=limit,
            usable=limit,
            terms=(
                Term(
                    name="weights in host memory",
                    kind=Kind.WEIGHTS,
                    nbytes=kept,
                    confidence=Confidence.ENGINE_RULE,
                    formula="bytes of the offloaded modules and tables",
                    values={"bytes of the offloaded modules and tables": kept},
                    source=accelerate_source("integrations/accelerate.py (infer_auto_device_map)"),
                ),
            ),
        )

    def launch(self, deployment: Deployment, answer: TransformersAnswer) -> Launch:
        """Return a few lines of Python with exactly the parameters that the plan assumed."""
        return launch_of(deployment, answer)

    def expected_log(self, deployment: Deployment, answer: TransformersAnswer) -> tuple[str, ...]:
        """Return the lines on kernels that are missing."""
        return log_lines(deployment)


TRANSFORMERS = Transformers()


def _on_device(model: ModelSpec, placement: DeviceMap, index: int) -> Key:
    return (model, placement), index


@remembered(_on_device)
def _running(model: ModelSpec, placement: DeviceMap, index: int) -> tuple[tuple[int, ...], bool]:
    """Return the layers that run on a device, and whether logits are computed there."""
    running = placement.runs_on(index)
    last = "embed" if model.tie_word_embeddings else "head"
    layers = (module.layer for module in running if module.layer is not None)
    return tuple(layers), any(module.kind == last for module in running)


def _up_to(deployment: Deployment, most: int) -> Key:
    held, said = but_workload(deployment)
    return held, (said, most)


@remembered(_up_to)
def _longest(deployment: Deployment, most: int) -> int:
    """Return the tokens of the longest single sequence up to `most`."""
    return largest_holding(lambda tokens: bool(TRANSFORMERS._holds(deployment, tokens, 1)), most)


@remembered(but_workload)
def _placed(deployment: Deployment) -> bool:
    """Say whether all modules find a place that the server can use."""
    placement, quantized = _placement(deployment), "bnb" in deployment.checkpoint.kernels
    return not placement.on(DISK) and not (quantized and placement.on(HOST))


@remembered(but_workload)
def _placement(deployment: Deployment) -> DeviceMap:
    """Return where the modules lie: the workload is put beside them, whatever it takes."""
    options: TransformersOptions = deployment.options
    found = modules(deployment.checkpoint, options, deployment.system.accelerator)
    if options.device_map == "cuda":
        return on_one_gpu(found)
    return place(found, budgets_of(deployment))


def _in_ram(placement: DeviceMap) -> int:
    return sum(module.nbytes for module in (*placement.on(HOST), *placement.on(APART)))


def _peak(causes: dict[str, int], *, fla: bool, read: bool) -> Term:
    """Return the largest cause; assumed where nobody counted it (`read`: the kinds are read only)."""
    size: Any = reduce(larger, causes.values())
    largest = next((name for name, each in causes.items() if is_zero(size - each)), "of each row")
    assumed = read | (fla & (causes.get("DeltaNet", -1) == size))
    share = choose(assumed, FLA_BAND, PEAK_BAND)
    return Term(
        name=f"activation peak ({largest})",
        kind=Kind.ACTIVATIONS,
        nbytes=size,
        confidence=Confidence.ASSUMED if assumed is True else Confidence.CALIBRATED,
        formula=f"max({', '.join(causes)})",
        values=dict(causes),
        source=source("modeling code, live tensors counted on the meta device"),
        band=Band(below=whole(size * share), above=whole(size * share) + PEAK_BAND_LEAST),
    )


def _cache_terms(
    model: ModelSpec, layers: Sequence[int], *, context: int, batch: int
) -> Iterator[Term]:
    """Yield KV and state of these layers."""
    where = source("cache_utils.py (DynamicLayer, LinearAttentionLayer)")
    linear = sum(model.layer_types[layer] == LINEAR for layer in layers)
    windows = sum(layer in model.ngram_layers for layer in layers)
    found = cache_bytes(model, batch=batch, tokens=context, layers=layers)
    if not is_zero(found.kv):
        yield Term(
            name="KV cache",
            kind=Kind.KV_CACHE,
            nbytes=found.kv,
            confidence=Confidence.EXACT,
            formula="sequences x context x (attention layers x bytes per token + positions)",
            values={
                "sequences": batch,
                "context": context,
                "attention layers": len(layers) - linear,
                "bytes per token": kv_token_bytes(model) + index_token_bytes(model),
                "positions": position_token_bytes(model, layers),
            },
            source=where,
        )
    if not is_zero(found.state):
        yield Term(
            name="recurrent state",
            kind=Kind.RECURRENT_STATE,
            nbytes=found.state,
            confidence=Confidence.EXACT,
            formula="sequences x (DeltaNet layers x bytes per state + windows of n-grams)",
            values={
                "sequences": batch,
                "DeltaNet layers": linear,
                "bytes per state": sum(sequence_state_bytes(model)),
                "windows of n-grams": window_bytes(model) * windows,
            },
            source=where,
        )
