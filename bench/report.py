"""bench/report.py: what bench.py found as tables between the marks in docs/performance.md, and as a
chart, docs/performance.svg."""
import re


def table(heads, rows):
    """Nothing where there are no rows."""
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) if rows else ""


def together(*parts):
    return "\n\n".join(part for part in parts if part)


def cell(value, form):
    return "-" if value is None else format(value, form)


def us(value):
    return cell(value, ".0f" if value is None or value >= 100 else ".3g")


def verdict(check):
    return "ok" if check["ok"] else "**missed**"


def of_kind(found, *kinds):
    return [c for c in found.checks if c["kind"] in kinds]


# --- the tables, by the names of their marks

def bars(found, _):
    times = [[c["case"], c["peer"], c["threads"], us(c["us"]), us(c["ort_us"]),
              f"{c['value']:.2f}", f"{c['limit']:.2f}", verdict(c)] for c in of_kind(found, "bar")]
    times += [["load and first run", "rlx", c["threads"], us(c["ms"] * 1e3), us(c["ort_ms"] * 1e3),
               f"{c['value']:.2f}", f"{c['limit']:.2f}", verdict(c)]
              for c in of_kind(found, "start")]
    memory = [[c["what"], f"{c['mb']:.0f} MiB", f"{c['ort_mb']:.0f} MiB", f"{c['value']:.2f}",
               f"{c['limit']:.2f}", verdict(c)] for c in of_kind(found, "memory")]
    other = [[c["what"], f"{c['value']:.6g}", f"{c['limit']:.6g}", verdict(c)]
             for c in found.checks if c["kind"] == "plain" or "cosine" in c["what"]]
    return together(
        table(["case", "peer", "threads", "us", "onnxruntime us", "ratio", "at most", ""], times),
        table(["memory", "rlx", "onnxruntime", "ratio", "at most", ""], memory),
        table(["also", "value", "bar", ""], other))


def busy(found, _):
    alone = {c["case"]: c for c in of_kind(found, "alone")}
    heads = ["case", "quiet us", "neighbour us", "one thread us", "/ quiet", "/ one thread", ""]
    return table(heads, [[c["case"], us(c["quiet_us"]), us(c["us"]), us(c["alone_us"]),
                          f"{c['value']:.2f}", f"{alone[c['case']]['value']:.2f}",
                          verdict({"ok": c["ok"] and alone[c["case"]]["ok"]})]
                         for c in of_kind(found, "busy")])


def keys(found, kernels):
    """The cases that have a time of rlx and are kernels or not, once each, in order."""
    return list(dict.fromkeys((r["case"], r["threads"]) for r in found.rows if r["peer"] == "rlx"
                              and r["case"].startswith("kernel ") == kernels))


def peers(found, names):
    grown = {f"{g['family']} {g['size']}" for g in found.growth}
    used = [n for n in names if any(r["peer"] == n for r in found.rows)]
    return table(["case, us", "threads", *used],
                 [[case, threads, *(us(found.least(case, threads, peer)) for peer in used)]
                  for case, threads in keys(found, False) if case not in grown])


def kernels(found, _):
    rows = {}
    for case, threads in keys(found, True):
        both = [found.least(case, threads, p) for p in ("rlx", "onnxruntime")]
        ratio = both[0] / both[1] if both[1] else None
        rows.setdefault(case.removeprefix("kernel "), []).extend([*map(us, both),
                                                                  cell(ratio, ".2f")])
    heads = [f"{what}, {n}" for n in (1, 2) for what in ("rlx us", "onnxruntime us", "ratio")]
    return table(["operation, threads:", *heads], [[name, *cells] for name, cells in rows.items()])


def growth(found, _):
    rows = []
    for g in found.growth:
        floor = max(g["compute_us"], g["memory_us"])
        ratio = g["us"] / g["ort_us"] if g["ort_us"] else None
        rows.append([g["family"], g["size"], f"{g['flops'] / 1e9:.3g}", us(g["us"]),
                     f"{g['flops'] / g['us'] / 1e3:.0f}", us(floor),
                     "compute" if g["compute_us"] >= g["memory_us"] else "memory",
                     f"{100 * floor / g['us']:.0f} %", cell(ratio, ".2f")])
    return table(["by", "size", "GFLOP", "us", "GFLOP/s", "floor us", "bound by", "of the roofline",
                  "/ onnxruntime"], rows)


def machine(found, _):
    m = found.machine
    peaks = "; ".join(f"{n} thread{'s' * (n > 1)}: {m[f'gflops_{n}']:.0f} GFLOP/s in f32, reads "
                      f"{m[f'read_gbs_{n}']:.0f} GB/s" for n in (1, 2))
    return (f"{m['date']}, commit {m['commit']}, {m['cores']} cores of {m['cpu']}, load "
            f"{m['load']:.1f} at the start. {peaks}.")


PARTS = {"machine": machine, "bars": bars, "busy": busy, "peers": peers, "kernels": kernels,
         "growth": growth}


def tables(found, names):
    return together(*(part(found, names) for part in PARTS.values()))


def write(found, names, docs):
    page = docs / "performance.md"
    text = page.read_text()
    for name, part in PARTS.items():
        marks = re.compile(f"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.S)
        text = marks.sub(lambda m: m[1] + part(found, names) + "\n" + m[2], text)
    page.write_text(text)
    (docs / "performance.svg").write_text(chart(found))


# --- the chart: a line for each bar, as part of onnxruntime's time; a tick where it may end

WIDTH, LEFT, RIGHT, LINE, TOP = 760, 230, 60, 18, 40
MET, MISSED, INK, FAINT = "#2a7f62", "#c0392b", "#222", "#bbb"


def chart(found):
    shown = [(f"{c['case']}, {c['peer']}, {c['threads']}", c) for c in of_kind(found, "bar")]
    most = max([1.0, *(c["value"] for _, c in shown)])
    scale = (WIDTH - LEFT - RIGHT) / most
    height = TOP + LINE * len(shown) + 12
    one = LEFT + scale
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
           f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="11" fill="{INK}">',
           f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
           '<text x="8" y="16" font-size="13">Time as part of that of onnxruntime (less is better);'
           ' case, peer, threads; the tick is the bar</text>',
           f'<line x1="{one:.1f}" y1="{TOP - 8}" x2="{one:.1f}" y2="{height - 8}" '
           f'stroke="{FAINT}"/>',
           f'<text x="{one:.1f}" y="{TOP - 12}" text-anchor="middle">1</text>']
    for i, (label, c) in enumerate(shown):
        y, length, limit = TOP + LINE * i, scale * c["value"], LEFT + scale * c["limit"]
        out += [f'<text x="{LEFT - 8}" y="{y + 11}" text-anchor="end">{label}</text>',
                f'<rect x="{LEFT}" y="{y + 2}" width="{length:.1f}" height="{LINE - 6}" '
                f'fill="{MET if c["ok"] else MISSED}"/>',
                f'<line x1="{limit:.1f}" y1="{y}" x2="{limit:.1f}" y2="{y + LINE - 2}" '
                f'stroke="{INK}" stroke-width="2"/>',
                f'<text x="{LEFT + length + 6:.1f}" y="{y + 11}">{c["value"]:.2f}</text>']
    return "\n".join([*out, "</svg>\n"])
