"""`ModuleScheme`: a checkpoint's own list of what is quantized how, module by module."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from fnmatch import fnmatchcase

from hardware_db.records import frozen
from planner.formats import get_format
from planner.model.module_names import NamePattern, PatternList, places, spellings
from planner.model.quantization import Stored
from planner.model.spec import ModelSpec
from planner.model.tensors import NGRAM_TABLE, Part, Tensor, tensor_table

_ONE_EXPERT = re.compile(r"experts(?:\\?\.)(\d{1,6})(?!\d)")


@frozen
class ModuleRule:
    """What is done to the modules that a pattern names.

    Attributes:
        pattern: which modules.
        format: name of the number format; None keeps the model's dtype.
        forces: the rule also reaches modules outside the scheme's roles.
    """

    pattern: NamePattern
    format: str | None
    forces: bool = False


@frozen
class ModuleScheme:
    """How a checkpoint says that it is quantized.

    Attributes:
        name: method and width: ``gptq-int4``.
        title: what users read.
        source: the document that says so.
        default: format of what no rule names; None: only what rules name is quantized.
        roles: patterns on ``part.component``: what the method touches at all.
        rules: the first that names a module decides.
        drops: parts that such checkpoints leave out.
        ngram_table: format of a table of n-grams; None where it keeps the model's dtype.
        cache_scales: the document may bring scales for the KV cache.
        keeps_float32: tensors that the model's maker stores in FP32 stay so; most tools load a model
            in its 16-bit dtype and save it again.
        notes: what a user should know.
    """

    name: str
    title: str
    source: str
    default: str | None
    roles: tuple[str, ...]
    rules: tuple[ModuleRule, ...] = ()
    drops: tuple[Part, ...] = ()
    ngram_table: str | None = None
    cache_scales: bool = False
    keeps_float32: bool = False
    notes: tuple[str, ...] = ()

    def store(self, model: ModelSpec) -> tuple[Stored, ...]:
        """Every tensor of `model` with its format; rows split where layers differ.

        Raises:
            UnsupportedModelError: a pattern cannot be applied.
        """
        patterns = PatternList(tuple(rule.pattern for rule in self.rules), self.source)
        singled_out = self._singled_out()
        rows: list[Stored] = []
        for tensor in tensor_table(model):
            if tensor.part in self.drops:
                continue
            if tensor.component == NGRAM_TABLE or tensor.constant is not None:
                kept = tensor.constant or self.ngram_table or model.dtype
                rows.append(Stored(tensor=tensor, format=get_format(kept)))
            elif tensor.is_matrix:
                rows += self._rows(tensor, model, patterns, singled_out)
            else:
                plain = model.dtype
                if self.keeps_float32 and tensor.component in model.float32_components:
                    plain = "float32"
                rows.append(Stored(tensor=tensor, format=get_format(plain)))
        return tuple(rows)

    def _rows(
        self,
        tensor: Tensor,
        model: ModelSpec,
        patterns: PatternList,
        singled_out: tuple[int, ...],
    ) -> Iterator[Stored]:
        """The rows of one tensor: its layers grouped by format, its experts likewise."""
        named = tuple(index for index in singled_out if index < tensor.experts)
        rest = tensor.experts - len(named)
        groups: dict[tuple[str, int], list[int]] = {}
        inside = any(fnmatchcase(f"{tensor.part}.{tensor.component}", role) for role in self.roles)
        for layer in places(tensor):
            counts: dict[str, int] = {}
            other = next(index for index in range(len(named) + 1) if index not in named)
            for expert, many in (*((index, 1) for index in named), (other, rest)):
                if not many:
                    continue
                chosen = self._format(spellings(tensor.name, layer, expert), patterns, inside)
                counts[chosen or model.dtype] = counts.get(chosen or model.dtype, 0) + many
            for name, many in counts.items():
                groups.setdefault((name, many), []).append(-1 if layer is None else layer)
        for (name, many), layers in groups.items():
            kept = tuple(layers) if tensor.layers else ()
            part = replace(tensor, layers=kept, experts=many)
            yield Stored(tensor=part, format=get_format(name))

    def _format(self, names: tuple[str, ...], patterns: PatternList, inside: bool) -> str | None:
        index = patterns.first(names)
        if index is None:
            return self.default if inside else None
        rule = self.rules[index]
        return rule.format if inside or rule.forces else None

    def _singled_out(self) -> tuple[int, ...]:
        """Experts that a rule names by number: all others are alike."""
        found = {
            int(number) for rule in self.rules for number in _ONE_EXPERT.findall(rule.pattern.text)
        }
        return tuple(sorted(found))
