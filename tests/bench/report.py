"""The table, as text and as JSON."""

import json
import os
import platform
import textwrap

from rows import LIMIT, OURS

HEADS = ("what", "ours", "limit", "ratio", "best", "aim", "met", "qemu-ga", "openssh", "best peer known")
PEERS = ("qemu-ga", "openssh")


def number(value, unit=""):
    if value is None:
        return "-"
    size = abs(value)
    text = f"{value:,.0f}" if size >= 100 or value == int(value) else f"{value:.1f}" if size >= 10 else f"{value:.2f}"
    return f"{text} {unit}".strip()


def times(value):
    return "-" if value is None else f"{value:.2f}x"


def peer_cell(row, name):
    if name not in row.figures:
        return "-"
    ratio = row.ratio(name)
    return number(row.median(name)) + (f" ({times(ratio)})" if ratio else "")


def cells(row):
    met = {None: "-", True: "yes", False: "NO"}[row.is_met()]
    if row.failure:
        met = "failed"
    return (
        row.what,
        number(row.median(OURS), row.unit),
        number(row.median(LIMIT)),
        times(row.ratio()),
        times(row.ratio_of_best()),
        row.aim,
        met,
        *(peer_cell(row, name) for name in PEERS),
        row.best_peer,
    )


def table(rows):
    lines = [HEADS] + [cells(row) for row in rows]
    widths = [max(len(line[i]) for line in lines) for i in range(len(HEADS))]
    texts = ["  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines]
    texts.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(texts)


def notes(rows, unavailable, machine):
    lines = [f"{row.name}: {note}" for row in rows for note in [*row.notes, row.failure] if note]
    lines += [f"{name} is left out: {reason}" for name, reason in unavailable.items()]
    lines.append(
        "ours and limit are medians of repetitions that took turns; ratio is the median of each turn's ratio, best "
        "that of the best repetitions. A limit is the same work done by the kernel alone, measured in this run."
    )
    lines.append(
        f"{machine['cores']} cores, Linux {machine['kernel']}, load {machine['load_before']:.1f} before and "
        f"{machine['load_after']:.1f} after: whatever else runs on the machine is in these figures"
    )
    return "\n".join(textwrap.fill(line, 110, initial_indent="- ", subsequent_indent="  ") for line in lines)


def machine(load_before):
    return {
        "cores": len(os.sched_getaffinity(0)),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "load_before": load_before,
        "load_after": os.getloadavg()[0],
    }


def as_object(row):
    return {
        "name": row.name,
        "what": row.what,
        "unit": row.unit,
        "ours": row.median(OURS),
        "limit": row.median(LIMIT),
        "limit_is": row.limit,
        "ratio": row.ratio(),
        "ratio_of_best": row.ratio_of_best(),
        "aim": row.aim,
        "met": row.is_met(),
        "best_peer_known": row.best_peer,
        "peers": {
            name: {"median": row.median(name), "ratio": row.ratio(name)} for name in PEERS if name in row.figures
        },
        "repetitions": row.figures,
        "notes": row.notes,
        "failure": row.failure,
    }


def write_json(path, rows, unavailable, about):
    with open(path, "w", encoding="utf-8") as file:
        json.dump({"machine": about, "rows": [as_object(row) for row in rows], "left_out": unavailable}, file, indent=1)
        file.write("\n")
