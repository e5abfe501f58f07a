"""Runs ONNX models on ONNX Runtime in a process of its own, for the `niwaki` program.

Reads one JSON object per line on stdin and answers each with one on stdout, until stdin closes.
Tensors travel in files as raw little-endian data, described by {name, dtype, shape, offset} each.
"""

import os
import sys

# Only the runtime is wanted: these are large, and nothing here needs them.
for _module in ("torch", "tensorflow", "jax"):
    sys.modules[_module] = None
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import ctypes
import gc
import json
import mmap
import resource
import time

ALIGNMENT = 64
DTYPES = {  # name: ONNX element type, bytes of an element, numpy type that carries it
    "float32": (1, 4, "f4"), "uint8": (2, 1, "u1"), "int8": (3, 1, "i1"),
    "uint16": (4, 2, "u2"), "int16": (5, 2, "i2"), "int32": (6, 4, "i4"), "int64": (7, 8, "i8"),
    "bool": (9, 1, "?"), "float16": (10, 2, "f2"), "float64": (11, 8, "f8"),
    "uint32": (12, 4, "u4"), "uint64": (13, 8, "u8"),
    "bfloat16": (16, 2, "u2"), "float8e4m3fn": (17, 1, "u1"), "float8e4m3fnuz": (18, 1, "u1"),
    "float8e5m2": (19, 1, "u1"), "float8e5m2fnuz": (20, 1, "u1"),
}
NAMES = {entry[0]: name for name, entry in DTYPES.items()}
CARRIED = {"bfloat16", "float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz"}

ort = None
np = None
import_error = None
sessions = {}
bound = {}


def import_runtime():
    """Imports ONNX Runtime; what went wrong is kept for the answer to `hello`."""
    global ort, np, import_error
    try:
        try:
            import onnxruntime
        except ModuleNotFoundError:
            import site  # isolated mode leaves the user's own packages out

            sys.path.append(site.getusersitepackages())
            import onnxruntime
        import numpy

        ort, np = onnxruntime, numpy
        ort.disable_telemetry_events()
    except Exception as error:
        import_error = error


def elements(shape):
    count = 1
    for size in shape:
        count *= size
    return count


def size_of(tensor):
    return elements(tensor["shape"]) * DTYPES[tensor["dtype"]][1]


def read_tensors(path, tensors, is_copied=False):
    """The tensors of a bundle as OrtValues, which view the mapped file unless they are copied."""
    end = max([tensor["offset"] + size_of(tensor) for tensor in tensors], default=0)
    data = b""
    if end > 0:
        with open(path, "rb") as file:
            data = mmap.mmap(file.fileno(), end, access=mmap.ACCESS_COPY)
    values = {}
    for tensor in tensors:
        onnx_type, _, code = DTYPES[tensor["dtype"]]
        count = elements(tensor["shape"])
        array = np.empty(0, code)
        if count > 0:
            array = np.frombuffer(data, dtype=code, count=count, offset=tensor["offset"])
        array = array.reshape(tensor["shape"])
        if is_copied:
            array = array.copy()
        if tensor["dtype"] in CARRIED:
            value = ort.OrtValue.ortvalue_from_numpy_with_onnx_type(array, onnx_type)
        else:
            value = ort.OrtValue.ortvalue_from_numpy(array)
        values[tensor["name"]] = value
    return values


def describe(name, value, offset):
    if not value.is_tensor():
        raise TypeError(f"output '{name}' is a {value.data_type()}, not a tensor")
    dtype = NAMES.get(value.element_type())
    if dtype is None:
        raise TypeError(f"output '{name}' is a {value.data_type()}, which cannot be handed over")
    return {"name": name, "dtype": dtype, "shape": list(value.shape()), "offset": offset}


def write_tensors(path, names, values):
    """Writes OrtValues as a bundle and returns its description."""
    tensors, end = [], 0
    for name, value in zip(names, values):
        tensor = describe(name, value, end)
        tensors.append(tensor)
        end += -(-size_of(tensor) // ALIGNMENT) * ALIGNMENT
    if end == 0:
        return tensors
    with open(path, "r+b") as file:
        file.truncate(end)
        with mmap.mmap(file.fileno(), end) as data:
            anchor = ctypes.c_char.from_buffer(data)
            start = ctypes.addressof(anchor)
            for tensor, value in zip(tensors, values):
                if size_of(tensor) > 0:
                    ctypes.memmove(start + tensor["offset"], value.data_ptr(), size_of(tensor))
            del anchor
    return tensors


def interface(arguments):
    def sizes(shape):
        return [size if isinstance(size, int) else -1 for size in shape]

    return [{"name": a.name, "type": a.type, "shape": sizes(a.shape)} for a in arguments]


def make_session(path, threads=0, level="default", optimized=None):
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    if level == "disabled":
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    if optimized:
        options.optimized_model_filepath = optimized
        # Beside the graph, so that weights beyond protobuf's limit can be written at all.
        options.add_session_config_entry(
            "session.optimized_model_external_initializers_file_name",
            os.path.basename(optimized) + ".data")
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def op_hello(request):
    import importlib.util

    if import_error is not None:
        raise import_error
    return {
        "python": sys.version.split()[0], "runtime": ort.__version__, "numpy": np.__version__,
        "has_checker": importlib.util.find_spec("onnx") is not None,
    }


def op_load(request):
    begin = time.perf_counter()
    session = make_session(request["model"], request.get("threads", 0),
                           request.get("level", "default"), request.get("optimized"))
    seconds = time.perf_counter() - begin
    sessions[request["id"]] = session
    return {
        "inputs": interface(session.get_inputs()), "outputs": interface(session.get_outputs()),
        "seconds": seconds,
    }


def op_unload(request):
    sessions.pop(request["id"], None)
    bound.pop(request["id"], None)
    return {}


def op_run(request):
    session = sessions[request["id"]]
    names = request.get("names") or [output.name for output in session.get_outputs()]
    values = session.run_with_ort_values(names, read_tensors(request["inputs"], request["tensors"]))
    return {"tensors": write_tensors(request["outputs"], names, values)}


def op_bind(request):
    """Keeps inputs for `warm_up` and `measure`; the file may change afterwards."""
    session = sessions[request["id"]]
    values = read_tensors(request["inputs"], request["tensors"], is_copied=True)
    binding = session.io_binding()
    for name, value in values.items():
        binding.bind_ortvalue_input(name, value)
    for output in session.get_outputs():
        binding.bind_output(output.name, "cpu")
    bound[request["id"]] = (binding, values)  # the binding does not keep the arrays alive
    return {}


def timed(session, binding, runs):
    """Nanoseconds of each of `runs` runs."""
    clock, run = time.perf_counter_ns, session.run_with_iobinding
    times = []
    gc.disable()
    for _ in range(runs):
        begin = clock()
        run(binding)
        times.append(clock() - begin)
    gc.enable()
    return times


def median(values):
    return sorted(values)[len(values) // 2]


def op_warm_up(request):
    """Runs until the median of a chunk is within 3 % of the one before, for at most `seconds`."""
    session, (binding, _) = sessions[request["id"]], bound[request["id"]]
    begin = time.perf_counter()
    last = median(timed(session, binding, 2))
    runs, is_stable = 2, False
    while not is_stable and time.perf_counter() - begin < request["seconds"]:
        chunk = max(1, min(1000, int(10e6 / max(last, 1))))
        current = median(timed(session, binding, chunk))
        runs += chunk
        is_stable = abs(current - last) <= 0.03 * last
        last = current
    return {"runs": runs, "ns": last, "is_stable": is_stable}


def op_measure(request):
    return {"ns": timed(sessions[request["id"]], bound[request["id"]][0], request["runs"])}


def status_bytes(field):
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    return 0


def op_memory(request):
    """Resident bytes now and at most since the last `reset`."""
    if request.get("reset"):
        gc.collect()
        try:
            with open("/proc/self/clear_refs", "w") as file:
                file.write("5")
        except OSError:
            pass  # the highest value since the start is the next best
    rss = status_bytes("VmRSS")
    return {"rss_bytes": rss, "peak_bytes": max(rss, status_bytes("VmHWM"))}


def varint(data, position):
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7


def fields(data, position, end):
    """(number, begin, end) of each length-delimited field of a protobuf message."""
    while position < end:
        key, position = varint(data, position)
        kind = key & 7
        if kind == 0:
            _, position = varint(data, position)
        elif kind == 2:
            length, position = varint(data, position)
            yield key >> 3, position, position + length
            position += length
        else:
            position += 8 if kind == 1 else 4


def graph_nodes(data, begin, end):
    """The nodes of a GraphProto and of the bodies inside, without reading any weight."""
    nodes = []
    for number, node_begin, node_end in fields(data, begin, end):
        if number != 1:
            continue
        node = {"name": "", "op": "", "domain": "", "inputs": [], "outputs": []}
        nodes.append(node)
        for part, part_begin, part_end in fields(data, node_begin, node_end):
            if part == 5:
                for inner, inner_begin, inner_end in fields(data, part_begin, part_end):
                    if inner in (6, 11):
                        nodes += graph_nodes(data, inner_begin, inner_end)
                continue
            text = data[part_begin:part_end].decode("utf-8", "replace")
            if part in (1, 2):
                node["inputs" if part == 1 else "outputs"].append(text)
            elif part in (3, 4, 7):
                node[{3: "name", 4: "op", 7: "domain"}[part]] = text
    return nodes


def read_nodes(path):
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for number, begin, end in fields(data, 0, len(data)):
            if number == 7:
                return graph_nodes(data, begin, end)
    return []


def op_census(request):
    """Operators of the graph as the runtime executes it, after its own optimization."""
    path = os.path.abspath("optimized.onnx")
    try:
        make_session(request["model"], request.get("threads", 0), optimized=path)
        nodes = read_nodes(path)
    finally:
        for name in (path, path + ".data"):
            if os.path.exists(name):
                os.remove(name)
    counts = {}
    for node in nodes:
        key = node["op"] if node["domain"] in ("", "ai.onnx") else node["domain"] + "." + node["op"]
        counts[key] = counts.get(key, 0) + 1
    return {"ops": dict(sorted(counts.items())), "nodes": nodes}


def op_check(request):
    """The full check of the onnx package; `available` is false where it is not installed."""
    try:
        import onnx
    except ImportError:
        message = "the onnx package is not installed"
        return {"available": False, "ok": False, "version": "", "message": message}
    answer = {"available": True, "ok": True, "version": onnx.__version__, "message": ""}
    try:
        onnx.checker.check_model(request["model"], full_check=True)
    except Exception as error:
        answer.update(ok=False, message=clean(error))
    return answer


def clean(error):
    return str(error).encode("utf-8", "replace").decode("utf-8")


OPS = {
    "hello": op_hello, "load": op_load, "unload": op_unload, "run": op_run, "bind": op_bind,
    "warm_up": op_warm_up, "measure": op_measure, "memory": op_memory, "census": op_census,
    "check": op_check,
}


def answer_to(line):
    try:
        request = json.loads(line)
        operation = OPS.get(request.get("op"))
        if operation is None:
            raise ValueError(f"unknown op {request.get('op')!r}")
        if import_error is not None:
            raise import_error
        return operation(request)
    except Exception as error:
        return {"error": type(error).__name__, "message": clean(error)}


def main():
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    memory_bytes = int(sys.argv[1]) if len(sys.argv) > 1 else 0
    if memory_bytes > 0:
        resource.setrlimit(resource.RLIMIT_AS, (memory_bytes, memory_bytes))
    # What a library prints must not end up between the answers.
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    import_runtime()
    for line in sys.stdin:
        answers.write(json.dumps(answer_to(line)) + "\n")
        answers.flush()


if __name__ == "__main__":
    try:
        main()
    except (BrokenPipeError, KeyboardInterrupt):
        os._exit(0)
