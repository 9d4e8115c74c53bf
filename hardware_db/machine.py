"""Reads a whole machine: accelerators, the RAM beside them, a machine without a GPU."""

from __future__ import annotations

import contextlib
import dataclasses

from hardware_db.accelerator import Accelerator
from hardware_db.compose import alike, processor, repeated, resized, several, unequal
from hardware_db.database import Database
from hardware_db.errors import HardwareError
from hardware_db.expression import (
    Memory,
    Part,
    bare_size,
    is_cpu,
    machines,
    memory,
    parts,
    with_ecc,
    without_link,
    without_memory,
)
from hardware_db.figures import GIVEN, Figure
from hardware_db.lookup import (
    Found,
    among_words,
    counted,
    is_a_machine,
    sizes,
    unknown,
    unnamed_card,
)
from hardware_db.memory import MemoryKind
from hardware_db.names import key, spoken
from hardware_db.processors import named, ram_beside, sockets
from hardware_db.row import in_a_row
from hardware_db.system import System

__all__ = ["read"]


class _Machine:
    """What the parts of an expression have said so far."""

    def __init__(self) -> None:
        self.found: list[Found] = []
        self.memories: list[Memory] = []
        self.cpu: str | None = None
        self.no_gpu = False
        self.assumptions: list[str] = []


def read(text: str, known: Database) -> System:
    """Return the machine that `text` means. Errors: HardwareError, UnknownHardware."""
    if (nodes := machines(text)) is not None:
        return alike(read(nodes.text, known), nodes, known.systems)
    try:
        return _read(text, known)
    except HardwareError as error:
        from hardware_db.retold import otherwise  # a name that is known needs none of it

        return otherwise(text, known, error, lambda said: _read(said, known))


def _read(text: str, known: Database) -> System:
    machine = _Machine()
    pieces = parts(with_ecc(without_link(text)))
    start = 0
    while start < len(pieces):
        for end in range(len(pieces), start, -1):
            if _taken(pieces[start:end], machine, known):
                start = end
                break
        else:
            raise unknown(pieces[start].text or text, known)
    return _assembled(machine, text, known)


def _taken(pieces: tuple[Part, ...], machine: _Machine, known: Database) -> bool:
    """Take up what the pieces say together, if they say anything; names may hold separators."""
    text = pieces[0].text + "".join(piece.before + piece.text for piece in pieces[1:])
    alone = len(pieces) == 1
    told = memory(text) if alone else None
    if told is not None and told.of != "vram":
        machine.memories.append(told)
        return True
    if alone and is_cpu(text):
        machine.no_gpu = True
        return True
    try:
        found = counted(text, known) or (unnamed_card(told) if told and told.gib else None)
    except HardwareError:
        if alone and _in_a_row(text, machine, known):  # "7950x" is no count
            return True
        raise
    if found is not None:
        if not alone and bare_size(pieces[-1].text) is not None:
            entry = found.entry if isinstance(found.entry, Accelerator) else found.entry.accelerator
            if entry.variant is not None:
                return False  # a size that is not sold: it is the machine's
            _say_whose_memory(entry, pieces[-1].text, machine)
        _take(found, text, machine)
        return True
    if not alone or _ends_in_memory(text, machine, known) or _in_a_row(text, machine, known):
        return alone
    found = among_words(text, known)
    if found is not None:
        _take(found, text, machine)
    return found is not None


def _take(found: Found, text: str, machine: _Machine) -> None:
    machine.found.append(dataclasses.replace(found, called=text))


def _say_whose_memory(entry: Accelerator, size: str, machine: _Machine) -> None:
    if not entry.is_unified:
        said = f"{size} is read as the memory of the GPU; write '{size} RAM' if it is the machine's"
        machine.assumptions.append(said)


def _ends_in_memory(text: str, machine: _Machine, known: Database) -> bool:
    """Take up "4090 64GB RAM", "cpu 64GB", "4090 64GB" or "laptop 32GB"."""
    split = without_memory(text)
    if split is not None:
        head, told = split
        if _taken((Part(text=head),), machine, known) or _is_unnamed(head, machine, known):
            machine.memories.append(told)
            return True
    said = text.split()
    for index in range(1, len(said)):
        size = bare_size(" ".join(said[index:]))
        head = " ".join(said[:index])
        found = None
        with contextlib.suppress(HardwareError):  # "7950x" is no count
            found = counted(head, known) if size is not None else None
        if found is not None and size is not None:
            _take(found, head, machine)
            machine.memories.append(Memory(gib=size, of=None, kind=MemoryKind()))
            return True
        if size is not None and _is_unnamed(head, machine, known):
            machine.memories.append(Memory(gib=size, of="ram", kind=MemoryKind()))
            return True
    return False


def _is_unnamed(head: str, machine: _Machine, known: Database) -> bool:
    if not is_a_machine(head, known):
        return False
    said = f"nothing is known of {head!r} but its RAM; write its GPU or processor for more"
    machine.assumptions.append(said)
    return True


def _in_a_row(text: str, machine: _Machine, known: Database) -> bool:
    """Take up parts that nothing stands between: "i7-13700k 64GB DDR5 rtx 4080", "2x3090 1x4090"."""
    row = in_a_row(text, known)
    if row is None or (machine.cpu is not None and any(what is None for _, what in row)):
        return False
    for piece, what in row:
        if isinstance(what, Memory):
            machine.memories.append(what)
        elif isinstance(what, Found):
            _take(what, piece, machine)
        else:
            machine.cpu = piece
    return True


def _assembled(machine: _Machine, text: str, known: Database) -> System:
    machine.memories = [one for one in machine.memories if not _is_the_gpus(one, machine)]
    _leave_out_integrated(machine)
    ram = _ram(machine, text)
    if ram is not None and ram.of is None:
        machine.found.append(unnamed_card(ram))
        ram = None
    if machine.no_gpu and machine.found:
        raise HardwareError(f"{text!r} says both that there is no GPU and which; leave out one")
    if machine.found:
        system = _joined(machine.found, text, known)
        shared = system.accelerator.is_unified and ram is not None and ram.gib is not None
        if not shared:  # else the size was said, apart
            machine.assumptions += [said for found in machine.found for said in found.assumptions]
        system = _with_memory(system, ram, text, machine, known)
    else:
        system = _without_gpu(ram, text, machine, known)
    line = named(machine.cpu, known.processors)
    if line is not None and system.host_bandwidth_gb_s is not None:
        times = "2x-" if sockets(machine.cpu) > 1 else ""
        system = dataclasses.replace(system, id=f"{system.id}+{times}{line.id}", aliases=())
    return dataclasses.replace(
        system,
        cpu=machine.cpu or system.cpu,
        assumptions=(*dict.fromkeys(machine.assumptions), *system.assumptions),
    )


def _without_gpu(ram: Memory | None, text: str, machine: _Machine, known: Database) -> System:
    """A processor and its RAM. Errors: HardwareError where nobody says how much that is."""
    line = named(machine.cpu, known.processors)
    if ram is None or ram.gib is None:
        example = f"{machine.cpu or 'cpu'}, {64 if line is None else line.usual_gb}GB"
        raise HardwareError(
            f"{text!r} is a machine without a GPU: say how much RAM it has, like {example!r}"
        )
    if not machine.no_gpu and machine.cpu is None:
        machine.assumptions.append(
            f"{ram.gib:g} GB of RAM and no GPU named: planned as a machine without one"
        )
    kind, rate = ram_beside(machine.cpu, ram.kind, known.processors, known.memories)
    if machine.cpu is not None and rate is None:
        machine.assumptions.append(
            f"the speed is that of a desktop's processor and RAM; a board such as a Raspberry Pi is"
            f" slower. Name the kind of RAM for a closer one ('{machine.cpu}, {ram.gib:g}GB DDR4-3200'),"
            " or its GB/s (--ram-bandwidth)"
        )
    elif rate is not None and line is not None and not line.is_told_by(ram.kind):
        said = f"{machine.cpu}: RAM is taken as {kind} ({rate.value:.0f} GB/s)"
        filled = f", what {line.name} takes with every slot filled: say so where it is less"
        filled += f" (like {line.less(ram.kind)!r}), or give its GB/s"
        machine.assumptions.append(f"{said}{'' if line.is_soldered else filled} (--ram-bandwidth)")
    if sockets(machine.cpu) > 1:
        machine.assumptions.append(
            "two processors: the speed counts the RAM of one of them; programs that do not place their"
            " threads by socket (llama.cpp: --numa distribute) gain little from the other"
        )
    return _with_kind(processor(ram.gib, rate), ram, kind, rate)


def _leave_out_integrated(machine: _Machine) -> None:
    """Leave out the GPU inside the processor beside a card, and its second name beside the first."""
    inside = [one for one in machine.found if _is_integrated(one)]
    others = [one for one in machine.found if not _is_integrated(one)]
    if inside and others:
        called = inside[0].called
        machine.cpu = machine.cpu or called
        machine.assumptions.append(f"{called}: the GPU inside the processor is left out")
        machine.found = others
        return
    first = machine.found[0].entry if machine.found else None
    same = (
        isinstance(first, Accelerator)
        and first.is_unified
        and all(
            isinstance(one.entry, Accelerator)
            and one.entry.architecture == first.architecture
            and one.count == 1
            for one in machine.found
        )
    )
    if same and len({one.called for one in machine.found}) == len(machine.found):
        del machine.found[1:]


def _is_integrated(found: Found) -> bool:
    return isinstance(found.entry, Accelerator) and found.entry.is_integrated


def _is_the_gpus(told: Memory, machine: _Machine) -> bool:
    """Say whether a size is that of the GPU, or of all together: "a 4070 laptop with 8GB"."""
    if told.of is not None or told.gib is None or len(machine.found) != 1:
        return False
    entry, count = machine.found[0].entry, machine.found[0].count
    card = entry.accelerator if isinstance(entry, System) else entry
    count *= entry.count if isinstance(entry, System) else 1
    label = card.memory_marketed_gb
    if card.is_unified or label is None or told.gib not in (label.value, label.value * count):
        return False
    _say_whose_memory(card, f"{told.gib:g} GB", machine)
    return True


def _ram(machine: _Machine, text: str) -> Memory | None:
    """The RAM that was said, in one piece or its kind apart; a lone size, which is a card's."""
    sized = [told for told in machine.memories if told.gib is not None]
    if len(sized) > 1:
        told = " and ".join(f"{one.gib:g} GB" for one in sized)
        raise HardwareError(f"{text!r} names several sizes of RAM: {told}; give one")
    kinds = [told.kind for told in machine.memories]
    kind = MemoryKind(
        type=next((one.type for one in kinds if one.type), None),
        mt_s=next((one.mt_s for one in kinds if one.mt_s), None),
        channels=next((one.channels for one in kinds if one.channels), None),
    )
    if not machine.memories:
        return None
    first = sized[0] if sized else None
    named = machine.found or machine.no_gpu or machine.cpu is not None
    if first is not None and first.of is None and not named:
        return first
    return Memory(gib=first.gib if first else None, of="ram", kind=kind)


def _joined(found: list[Found], text: str, known: Database) -> System:
    """One system of all that was found: equal ones added up, unequal ones side by side."""
    if len(found) == 1:
        entry, count = found[0].entry, found[0].count
        if isinstance(entry, System):
            return repeated(entry, count, known.systems)
        return several(entry, count, known.systems)
    if len({one.entry.id for one in found}) == 1 and isinstance(found[0].entry, System):
        whole = found[0].entry
        if whole.accelerator.is_unified or whole.nodes > 1:
            return repeated(whole, sum(one.count for one in found), known.systems)
    counts: dict[str, int] = {}
    cards: dict[str, Accelerator] = {}
    for one in found:
        accelerator, count = _in_one_machine(one, text)
        cards[accelerator.id] = accelerator
        counts[accelerator.id] = counts.get(accelerator.id, 0) + count
    groups = [(counts[identity], card) for identity, card in cards.items()]
    if len(groups) == 1:
        whole = several(groups[0][1], groups[0][0], known.systems)
        called = known.by_name.get(key(whole.id))
        return called if isinstance(called, System) else whole
    for _, card in groups:
        if card.is_unified:
            raise _own_machine(card.name, text)
    return unequal(groups)


def _in_one_machine(found: Found, text: str) -> tuple[Accelerator, int]:
    """The accelerators of one part among several; a listed machine gives what is in it."""
    entry = found.entry
    if isinstance(entry, Accelerator):
        return entry, found.count
    if entry.nodes > 1 or found.count > 1 or entry.accelerator.is_unified or entry.provider:
        raise _own_machine(entry.name, text)
    return entry.accelerator, entry.accelerators_per_node


def _own_machine(name: str, text: str) -> HardwareError:
    return HardwareError(
        f"{text!r}: {name} is a machine of its own; different GPUs are planned in one machine,"
        " different machines are not planned together"
    )


def _with_memory(
    system: System, ram: Memory | None, text: str, machine: _Machine, known: Database
) -> System:
    """The system with the RAM that was said; where memory is shared, the size of that memory."""
    told = MemoryKind() if ram is None else ram.kind
    if not system.accelerator.is_unified:
        kind, rate = ram_beside(machine.cpu, told, known.processors, known.memories)
        if ram is not None:
            return _with_kind(system, ram, kind, rate)
        if rate is None:
            return system
        return dataclasses.replace(system, host_memory_type=str(kind), host_bandwidth_gb_s=rate)
    label = system.accelerator.memory_marketed_gb
    if ram is None or ram.gib is None or label is None or label.value == ram.gib:
        return system
    alike = sizes(system.accelerator, known)
    fitting = [
        one for one in alike if one.memory_marketed_gb and one.memory_marketed_gb.value == ram.gib
    ]
    if not fitting and system.accelerator.is_integrated:
        fitting = [resized(system.accelerator, ram.gib)]
    if fitting and system.provider is None:
        return several(fitting[0], system.count, known.systems)
    listed = ", ".join(
        f"{one.memory_marketed_gb.value:g}" for one in alike if one.memory_marketed_gb
    )
    raise HardwareError(
        f"{text!r}: {spoken(system.accelerator.name, memory=False)} shares one memory of {listed} GB between CPU and GPU,"
        f" not {ram.gib:g}"
    )


def _with_kind(system: System, ram: Memory, kind: MemoryKind, rate: Figure | None) -> System:
    size = "" if ram.gib is None else f"{ram.gib:g}gb"
    channels = ram.kind.channels
    words = [size, ram.kind.type or "", str(ram.kind.mt_s or "")]
    words += [f"{channels}ch" if channels else "", "" if ram.kind.type or channels else "ram"]
    given = (
        None
        if ram.gib is None
        else Figure(
            value=ram.gib,
            source=f"{GIVEN}: {ram.gib:g} GB RAM",
            grade="A",
            note="modules count in GiB; the system takes its part of it",
        )
    )
    return dataclasses.replace(
        system,
        id=f"{system.id}+{'-'.join(word for word in words if word)}",
        name=system.name if ram.gib is None else f"{system.name}, {ram.gib:g} GB RAM",
        aliases=(),
        host_memory_gib=given or system.host_memory_gib,
        host_memory_type=str(kind) or system.host_memory_type,
        host_bandwidth_gb_s=rate or system.host_bandwidth_gb_s,
    )
