"""Training over several processes: `python -m niwaki.distributed --nproc 2 distill STUDENT --teacher TEACHER ...`.

Every process runs the same command on its part of each batch, gradients are added up (torch.distributed, gloo), and the
first process writes the result: up to the rounding of sums the one of a single process with the same batch. Several hosts
give each its part: `--nnodes 2 --node-rank 0 --master HOST:PORT`; a launcher that sets RANK, WORLD_SIZE, MASTER_ADDR and
MASTER_PORT, such as torchrun, works as well.
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import subprocess
import sys
import tempfile

from niwaki._native import core

ENDED = (0, 1, 75, 130, 143)  # well, at a missed gate, or because somebody stopped it
USAGE = "python -m niwaki.distributed --nproc N [--nnodes N --node-rank K --master HOST:PORT] VERB ..."


def _work(words: list[str]) -> int:
    """One process of the group, as its environment says."""
    import torch
    import torch.distributed as dist

    native = core()
    dist.init_process_group("gloo")
    rank, size = dist.get_rank(), dist.get_world_size()

    def broadcast(given: bytes) -> bytes:
        length = torch.tensor([len(given)])
        dist.broadcast(length, 0)
        text = torch.frombuffer(bytearray(given), dtype=torch.uint8) if rank == 0 and given else torch.empty(int(length), dtype=torch.uint8)
        if int(length):
            dist.broadcast(text, 0)
        return text.numpy().tobytes()

    try:
        return native.run_in_group([sys.executable, *words], rank, size, dist.all_reduce, broadcast)
    finally:
        try:
            dist.destroy_process_group()
        except RuntimeError:  # the others may be gone
            pass


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def _parsed(argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    parser = argparse.ArgumentParser(prog="python -m niwaki.distributed", usage=USAGE, description=__doc__.splitlines()[0])
    parser.add_argument("--nproc", type=int, default=1, help="processes on this host")
    parser.add_argument("--nnodes", type=int, default=1, help="hosts")
    parser.add_argument("--node-rank", type=int, default=0, help="place of this host among them, from 0")
    parser.add_argument("--master", default="", help="HOST:PORT of the first host, where all meet")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="what to run: distill, finetune, run ...")
    asked = parser.parse_args(argv)
    if asked.nproc < 1 or not 0 <= asked.node_rank < asked.nnodes:
        parser.error("--nproc is 1 or more, --node-rank below --nnodes")
    if asked.nnodes > 1 and ":" not in asked.master:
        parser.error("several hosts need --master HOST:PORT")
    if not asked.command:
        parser.error("there is nothing to run")
    return asked, asked.command


def _threads(words: list[str], nproc: int) -> list[str]:
    """Processes share the cores of a host."""
    if any(word == "--threads" or word.startswith("--threads=") for word in words):
        return words
    return [*words, "--threads", str(max(1, len(os.sched_getaffinity(0)) // nproc))]


def _launch(asked: argparse.Namespace, words: list[str]) -> int:
    host, _, port = asked.master.partition(":")
    shared = {"MASTER_ADDR": host or "127.0.0.1", "MASTER_PORT": port or str(_free_port()), "WORLD_SIZE": str(asked.nproc * asked.nnodes)}
    command = [sys.executable, "-m", "niwaki.distributed", *_threads(words, asked.nproc)]
    with tempfile.TemporaryDirectory() as folder:
        processes = []
        for local in range(asked.nproc):
            rank = asked.node_rank * asked.nproc + local
            log = None if rank == 0 else open(os.path.join(folder, str(rank)), "wb")
            environment = {**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(local)}
            processes.append((subprocess.Popen(command, env=environment, stdout=log, stderr=log), log))

        def hand_on(number, frame):
            for process, _ in processes:
                if process.poll() is None:
                    process.send_signal(number)

        # Ctrl-C reaches all of a terminal's processes by itself
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, hand_on)
        return _joined(processes)


def _joined(processes) -> int:
    """Waits for all; where one fails the others cannot go on. The exit code is the first process's, where that one failed."""
    codes = {}
    while len(codes) < len(processes):
        for place, (process, _) in enumerate(processes):
            if place in codes:
                continue
            try:
                codes[place] = process.wait(timeout=0.05)
            except subprocess.TimeoutExpired:
                continue
            if codes[place] not in ENDED:
                for other, _ in processes:
                    if other.poll() is None:
                        other.terminate()
    for place, (_, log) in enumerate(processes):
        if log is None:
            continue
        log.close()
        if codes[place] not in ENDED and codes[place] != codes[0]:  # else the first process has said it
            with open(log.name, errors="replace") as said:
                sys.stderr.write(f"process {place}:\n{said.read()}")
    return codes[0] if codes[0] else max(codes.values())


def main() -> int:
    if "RANK" in os.environ and "WORLD_SIZE" in os.environ:
        return _work(sys.argv[1:])
    asked, words = _parsed(sys.argv[1:])
    return _launch(asked, words)


if __name__ == "__main__":
    sys.exit(main())
