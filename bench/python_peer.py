#!/usr/bin/env python3
"""python_peer.py onnxruntime MODEL INPUTS OUTPUT THREADS
python_peer.py jax|numpy CASE TENSORS OUTPUT THREADS

A peer as peer.h says, of what is called from Python. onnxruntime runs with its inputs and outputs
bound, called below the checks of its Python layer, so that a call costs under a microsecond more
than from C (its headers come with no package that could be fetched here). jax and numpy run cases
of mlx_by_hand.cpp written with their own functions; they get `THREADS` cores."""
import json
import os
import sys
import time

WARM_UP_PART = 8


def peak_mb():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))


def onnxruntime(model, inputs, threads):
    import onnxruntime as ort
    begin = time.perf_counter()
    settings = ort.SessionOptions()
    settings.intra_op_num_threads, settings.log_severity_level = threads, 3
    session = ort.InferenceSession(model, settings, providers=["CPUExecutionProvider"])
    loaded = time.perf_counter()
    bound = session.io_binding()
    values = [ort.OrtValue.ortvalue_from_numpy(a) for a in inputs.values()]
    for name, value in zip(inputs, values):
        bound.bind_ortvalue_input(name, value)
    names = [o.name for o in session.get_outputs()]
    for name in names:
        bound.bind_output(name)
    session.run_with_iobinding(bound)
    done = time.perf_counter()
    results = dict(zip(names, bound.get_outputs()))
    for name, value in results.items():
        bound.bind_ortvalue_output(name, value)
    call, inner = session._sess.run_with_iobinding, bound._iobinding

    def result():
        session.run_with_iobinding(bound)
        return {name: value.numpy() for name, value in results.items()}
    return (lambda: call(inner, None)), result, loaded - begin, done - loaded


def numpy_case(name, t):
    import numpy as np
    cases = {"matmul": lambda: t["x"] @ t["w"],
             "tiny_mlp": lambda: np.maximum(t["x"] @ t["w"] + t["b"], 0)}
    return cases.get(name)


def jax_encoder(jax, jnp, t):
    def linear(h, name):
        return h @ t[name + ".weight"].T + t[name + ".bias"]

    def norm(h, name):
        mean = h.mean(-1, keepdims=True)
        variance = ((h - mean) ** 2).mean(-1, keepdims=True)
        scaled = (h - mean) * jax.lax.rsqrt(variance + 1e-12)
        return scaled * t[name + ".weight"] + t[name + ".bias"]

    def encode(ids, mask):
        batch, length = ids.shape
        h = t["embeddings.word_embeddings.weight"][ids]
        h = h + t["embeddings.position_embeddings.weight"][:length]
        h = norm(h + t["embeddings.token_type_embeddings.weight"][0], "embeddings.LayerNorm")
        for i in range(6):
            at = f"encoder.layer.{i}."
            q, k, v = (linear(h, at + "attention.self." + n).reshape(batch, length, 12, -1)
                       for n in ("query", "key", "value"))
            seen = jax.nn.dot_product_attention(q, k, v, mask=mask[:, None, None, :] != 0)
            seen = linear(seen.reshape(batch, length, -1), at + "attention.output.dense")
            h = norm(h + seen, at + "attention.output.LayerNorm")
            inner = jax.nn.gelu(linear(h, at + "intermediate.dense"), approximate=False)
            h = norm(h + linear(inner, at + "output.dense"), at + "output.LayerNorm")
        return h
    return encode


def jax_case(name, tensors):
    import jax
    import jax.numpy as jnp
    t = {k: jnp.asarray(v) for k, v in tensors.items()}
    functions = {  # what runs, and the names of its inputs; all else is constant
        "matmul": (lambda x, w: x @ w, ("x", "w")),
        "tiny_mlp": (lambda x: jax.nn.relu(x @ t["w"] + t["b"]), ("x",)),
        "conv": (lambda x: jax.lax.conv_general_dilated(
            x, t["w"], (1, 1), "SAME", dimension_numbers=("NHWC", "OHWI", "NHWC")), ("x",)),
        "minilm": (jax_encoder(jax, jnp, t), ("input_ids", "attention_mask"))}
    if name not in functions:
        return None
    function, names = functions[name]
    compiled, inputs = jax.jit(function), [t[n] for n in names]
    return lambda: jax.block_until_ready(compiled(*inputs))


def by_hand(make, name, tensors):
    import numpy as np
    begin = time.perf_counter()
    run = make(name, tensors)
    run()  # which compiles, with jax
    loaded = time.perf_counter()
    run()
    return run, lambda: {"y": np.asarray(run())}, loaded - begin, time.perf_counter() - loaded


def measure(run, seconds, inner):
    times, clock = [], time.perf_counter
    end = clock() + seconds
    while not times or times[-1] < end and len(times) < 2 << 16:
        start = clock()
        for _ in range(inner):
            run()
        times += [(clock() - start) / inner, clock()]
    return sorted(times[::2])


def serve(run):
    for line in sys.stdin:
        seconds = float(line)
        least = measure(run, seconds / WARM_UP_PART, 1)[0]
        times = measure(run, seconds, int(1e-4 / least) + 1 if least < 1e-4 else 1)
        print(json.dumps({"min_us": times[0] * 1e6, "median_us": times[len(times) // 2] * 1e6,
                          "n": len(times)}), flush=True)


def main(kind, what, given, output, threads):
    if kind in ("jax", "numpy"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:int(threads)])
    import tensors
    inputs, base_mb = tensors.read(given), peak_mb()
    if kind == "onnxruntime":
        run, result, load, first = onnxruntime(what, inputs, int(threads))
    else:
        make = jax_case if kind == "jax" else numpy_case
        run, result, load, first = by_hand(make, what, inputs)
    ready = {"load_ms": load * 1e3, "first_ms": first * 1e3, "peak_mb": peak_mb(),
             "base_mb": base_mb}
    if output != "-":
        tensors.write(output, {k: v for k, v in result().items() if v.dtype in tensors.DTYPES})
    print(json.dumps(ready), flush=True)
    serve(run)


main(*sys.argv[1:])
