"""Losses of every kind, at every moment, on a cluster of threads: the answers are the serial engine's to the byte."""

import logging
import random
import sys
import threading
import time
from concurrent.futures import wait
from dataclasses import replace

import numpy as np
import pytest
from tests.engines.cluster import Fault, ThreadCluster

from fullbatch import DataError, EngineError, SerialEngine
from fullbatch.data.arrays import array_sources
from fullbatch.engines import _remote_worker, _supervisor, _worker
from fullbatch.engines._assignment import Move, moves, parts, runs, split
from fullbatch.engines._cluster import Limits
from fullbatch.engines._remote_worker import Message, RemoteWorker, nbytes
from fullbatch.engines._supervisor import SupervisedBlocks
from fullbatch.models.linear import Linear
from fullbatch.protocols import Eval, Rows, ValueGrad
from fullbatch.protocols.answers import Each
from fullbatch.protocols.requests import OfClasses

MODEL = Linear("logistic")


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X, y = rng.random((260, 4)), np.arange(260) % 2
    return array_sources(X, y, blocks=13)


@pytest.fixture(scope="module")
def expected(data):
    blocks = SerialEngine().place(MODEL, data)
    return [bytes_of(blocks.sum(request)) for request in requests(4)]


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(_supervisor, "_PATIENCE", 0.0)
    monkeypatch.setattr(_supervisor, "_LOOK", 0.0)


def requests(number):
    return [ValueGrad(np.random.default_rng(seed).standard_normal(5)) for seed in range(number)]


def bytes_of(answer):
    return np.float64(answer.value).tobytes() + answer.grad.tobytes() + np.float64(answer.weight).tobytes()


def place(cluster, sources, workers=3, most=None, failures=0, timeout=30.0):
    return SupervisedBlocks(cluster, sources, workers, Limits(most, failures, timeout, 5.0))


def once(number, method, fault):
    """A script that makes this worker fail at the first such call."""
    left = [1]

    def script(worker, called):
        if worker == number and called == method and left:
            left.clear()
            fault(worker)

    return script


def die(worker):
    raise Fault("killed by the test")


def run_out(worker):
    raise MemoryError("no memory, says the test")


@pytest.mark.parametrize("room", ["a fresh worker", "the others"])
@pytest.mark.parametrize("fault", ["die", "hang", "run_out"])
@pytest.mark.parametrize("method", ["describe", "build", "answer"])
def test_a_loss_at_any_stage(data, expected, method, fault, room):
    cluster = ThreadCluster(MODEL, 13, 4 if room == "a fresh worker" else 3)
    cluster.script = once(1, method, {"die": die, "hang": cluster.hang, "run_out": run_out}[fault])
    if room == "the others":
        cluster.room = lambda: 0
    blocks = place(cluster, data, failures=1, timeout=0.3 if fault == "hang" else 30.0)
    assert [bytes_of(blocks.sum(request)) for request in requests(4)] == expected
    assert blocks.health.losses == 1
    assert blocks.health.workers == (3 if room == "a fresh worker" else 2)
    blocks.close()
    assert not cluster.alive


def test_answers_of_survivors_are_kept(data):
    asked = []
    cluster = ThreadCluster(MODEL, 13, 4)
    blocks = place(cluster, data, failures=1)
    fail = once(1, "answer", die)

    def script(number, method):
        asked.append((number, method))
        fail(number, method)

    cluster.script = script
    blocks.sum(requests(1)[0])
    assert sorted(asked) == [(0, "answer"), (1, "answer"), (2, "answer"), (3, "ready"), (3, "take_and_answer")]


def test_large_answers_are_added_by_the_workers(data, expected, monkeypatch):
    monkeypatch.setattr(_remote_worker, "KEPT_BYTES", 8)
    for workers in (1, 2, 3, 5, 8):
        calls = []
        cluster = ThreadCluster(MODEL, 13, workers, lambda number, method, calls=calls: calls.append(method))
        blocks = place(cluster, data, workers)
        assert [bytes_of(blocks.sum(request)) for request in requests(4)] == expected
        assert calls.count("merge") == 4 * workers
        blocks.close()


@pytest.mark.parametrize("fault", ["die", "hang", "run_out"])
@pytest.mark.parametrize("number", range(5))
def test_a_loss_while_large_answers_are_added(data, expected, monkeypatch, number, fault):
    monkeypatch.setattr(_remote_worker, "KEPT_BYTES", 8)
    cluster = ThreadCluster(MODEL, 13, 6)
    cluster.script = once(number, "merge", {"die": die, "hang": cluster.hang, "run_out": run_out}[fault])
    blocks = place(cluster, data, 5, failures=1, timeout=1.0 if fault == "hang" else 30.0)
    assert [bytes_of(blocks.sum(request)) for request in requests(4)] == expected
    assert blocks.health.losses == (0 if fault == "run_out" else 1)
    blocks.close()


@pytest.mark.parametrize("failures", [2, 3])
def test_answers_that_cannot_be_added_and_nobody_is_to_blame_are_added_again_twice(
    data, expected, monkeypatch, failures
):
    monkeypatch.setattr(_remote_worker, "KEPT_BYTES", 8)
    left = [failures]

    def script(number, method):
        if method == "merge" and left[0]:
            left[0] -= 1
            raise OSError("the store is full")

    blocks = place(ThreadCluster(MODEL, 13, 1, script), data, 1)
    if failures == 2:
        assert bytes_of(blocks.sum(requests(1)[0])) == expected[0]
    else:
        with pytest.raises(EngineError, match="the workers could not add their answers: the store is full"):
            blocks.sum(requests(1)[0])
    blocks.close()


def test_large_requests_are_stored_once(data, monkeypatch):
    cluster = ThreadCluster(MODEL, 13, 3)
    blocks = place(cluster, data)
    before = cluster.puts
    monkeypatch.setattr(_supervisor, "_INLINE_BYTES", 8)
    blocks.sum(requests(1)[0])
    assert cluster.puts == before + 1
    blocks.close()


@pytest.mark.parametrize("seed", [*range(10), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(10, 30))])
def test_any_disturbances(data, expected, monkeypatch, seed):
    """Deaths, hangs and want of memory at random calls, fresh nodes now and then, large answers half of the time."""
    chance = random.Random(seed)
    monkeypatch.setattr(_remote_worker, "KEPT_BYTES", chance.choice([8, 10**6]))
    cluster = ThreadCluster(MODEL, 13, 4)
    faults = [die, die, run_out, cluster.hang]
    count = [0]

    def script(number, method):
        if method != "ready" and chance.random() < 0.06 and count[0] < 8:
            count[0] += 1
            chance.choice(faults)(number)

    cluster.script = script
    blocks = place(cluster, data, 4, failures=30, timeout=0.3)
    for _ in range(4):
        assert [bytes_of(blocks.sum(request)) for request in requests(4)] == expected
        if chance.random() < 0.5:
            cluster.grow(1)
    held = sorted(block for member in blocks._members for block in member.blocks)
    assert held == list(range(13))
    blocks.close()
    assert not cluster.alive


def test_the_budget_bounds_losses(data):
    cluster = ThreadCluster(MODEL, 13, 9)
    blocks = place(cluster, data, failures=1)
    cluster.script = once(0, "answer", die)
    blocks.sum(requests(1)[0])
    cluster.script = once(2, "answer", die)
    with pytest.raises(
        EngineError, match=r"worker 2 of 3 was lost with blocks 9\.\.12 \(killed.*max_failures=1 allows"
    ):
        blocks.sum(requests(1)[0])
    with pytest.raises(RuntimeError, match="closed"):
        blocks.sum(requests(1)[0])
    assert not cluster.alive


def test_when_no_capacity_is_left_the_error_says_what_was_lost(data):
    cluster = ThreadCluster(MODEL, 13, 2)
    blocks = SupervisedBlocks(cluster, data, 2, Limits(2, 9, 30.0, 2.0))
    cluster.capacity = 0

    def script(number, method):
        while number == 1 and not blocks._losses:  # worker 0 is the first to be missed
            time.sleep(0.001)
        die(number)

    cluster.script = script
    with pytest.raises(EngineError, match="no worker is left") as told:
        blocks.sum(requests(1)[0])
    for words in ("no worker is left", "worker 0 of 2 was lost with blocks 0..6", "worker 1 of 2 was lost with blocks"):
        assert words in str(told.value)


def test_when_all_are_lost_fresh_workers_are_tried_again_and_again(data, expected):
    cluster = ThreadCluster(MODEL, 13, 2)
    blocks = place(cluster, data, 2, failures=2)
    starts = []

    def script(number, method):
        starts.append(method)
        if method == "answer" or starts.count("ready") in (1, 2):
            die(number)

    cluster.script = script
    assert bytes_of(blocks.sum(requests(1)[0])) == expected[0]
    assert starts.count("ready") > 2
    cluster.script = lambda number, method: None
    assert [bytes_of(blocks.sum(request)) for request in requests(4)] == expected
    blocks.close()


def test_data_that_changed_is_not_rebuilt(data):
    X = np.ones((10, 2))

    class Changing:
        def read(self):
            return Rows(X.copy(), np.arange(10) % 2)

    cluster = ThreadCluster(MODEL, 1, 2)
    blocks = place(cluster, [Changing()], 1, failures=1)
    X *= 2
    cluster.script = once(0, "answer", die)
    with pytest.raises(DataError, match="the data has changed since it was first read"):
        blocks.sum(ValueGrad(np.zeros(3)))
    with pytest.raises(RuntimeError, match="place them again"):  # nobody holds it
        blocks.sum(ValueGrad(np.zeros(3)))


def test_a_processor_that_rounds_otherwise_has_the_same_data(data, expected, monkeypatch):
    cluster = ThreadCluster(MODEL, 13, 3)
    blocks = place(cluster, data, failures=1)
    describe = Linear.describe

    def describe_there(*args):
        told = describe(*args)
        return replace(told, moments=replace(told.moments, mean=np.nextafter(told.moments.mean, 1.0)))

    monkeypatch.setattr(Linear, "describe", describe_there)
    cluster.script = once(1, "answer", die)
    assert bytes_of(blocks.sum(requests(1)[0])) == expected[0]
    blocks.close()


def test_processors_of_different_kinds_are_told_once(data, expected, monkeypatch, caplog):
    cluster = ThreadCluster(MODEL, 13, 3)
    kinds = {0: ("skylake", "+avx2"), 1: ("skylake", "+avx2"), 2: ("skylake", "+avx512f"), 3: ("znver3", "+avx2")}
    start = cluster.start

    def start_there():
        worker = start()
        monkeypatch.setattr(worker.worker, "ready", lambda: kinds[worker.number])
        return worker

    monkeypatch.setattr(cluster, "start", start_there)
    with caplog.at_level(logging.WARNING):
        place(cluster, data, 2).close()
        assert not caplog.records
        blocks = place(cluster, data, 1)
        cluster.grow(1)
        until(lambda: blocks.health.workers == 2, blocks)
    (told,) = [record.getMessage() for record in caplog.records]
    assert "skylake: workers 0; znver3: workers 1" in told
    assert "to the bit only among processors of one kind" in told
    blocks.close()


def test_blocks_are_closed_where_an_interrupt_leaves_some_without_a_worker(data, monkeypatch):
    cluster = ThreadCluster(MODEL, 13, 2)
    blocks = place(cluster, data, 2, most=2, failures=1)
    cluster.script = once(0, "answer", die)

    def interrupt():
        raise KeyboardInterrupt

    monkeypatch.setattr(cluster, "room", interrupt)
    with pytest.raises(KeyboardInterrupt):
        blocks.sum(requests(1)[0])
    with pytest.raises(RuntimeError, match="place them again"):
        blocks.sum(requests(1)[0])
    assert not cluster.alive


def test_blocks_that_cannot_be_taken_are_dropped_again(data):
    worker = RemoteWorker(MODEL, 13, 1)
    with pytest.raises(DataError, match="the data has changed"):
        worker.take({3: data[3]}, None, {3: b"of other rows"})
    assert worker.plan.blocks == 0
    assert not worker._sources


def until(condition, blocks):
    give_up = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < give_up
        blocks.sum(requests(1)[0])


def test_new_nodes_are_used(data, expected):
    cluster = ThreadCluster(MODEL, 13, 2)
    blocks = place(cluster, data, 2)
    cluster.grow(2)
    until(lambda: blocks.health.workers == 4, blocks)
    assert [bytes_of(blocks.sum(request)) for request in requests(4)] == expected
    assert sorted(len(member.blocks) for member in blocks._members) == [3, 3, 3, 4]
    assert blocks.health.moved == 6
    for member in blocks._members:  # what has moved is forgotten where it was
        cluster.collect([member.dropping or cluster.put(None)], 5)
        assert sorted(member.worker.worker._cache._cached) == member.blocks
    blocks.close()


def test_a_fixed_number_of_workers_is_kept(data):
    cluster = ThreadCluster(MODEL, 13, 2)
    blocks = place(cluster, data, 2, most=2)
    cluster.grow(2)
    for request in requests(4):
        blocks.sum(request)
    assert len(cluster.workers) == 2
    blocks.close()


def test_lost_workers_are_made_up_for_when_there_is_room(data, expected):
    cluster = ThreadCluster(MODEL, 13, 3)
    blocks = place(cluster, data, 3, most=3, failures=1)
    cluster.capacity = 2
    cluster.script = once(1, "answer", die)
    assert bytes_of(blocks.sum(requests(1)[0])) == expected[0]
    assert blocks.health.workers == 2
    cluster.capacity = 3
    until(lambda: blocks.health.workers == 3, blocks)
    assert [bytes_of(blocks.sum(request)) for request in requests(4)] == expected
    blocks.close()


def test_a_newcomer_that_never_runs_is_given_up(data, expected, monkeypatch, caplog):
    monkeypatch.setattr(_supervisor, "_REPLACE", 0.1)
    cluster = ThreadCluster(MODEL, 13, 2)
    blocks = place(cluster, data, 2)
    cluster.script = once(2, "ready", cluster.hang)
    cluster.grow(1)
    until(lambda: blocks.health.workers == 3, blocks)
    assert "worker 2 was started in vain: it does not run after 0.1 s" in caplog.text
    assert [bytes_of(blocks.sum(request)) for request in requests(4)] == expected
    assert blocks.health.losses == 0
    blocks.close()
    assert not cluster.alive


def cannot_read(worker):
    raise DataError("the file is not on this node, says the test")


@pytest.mark.parametrize("fault", [die, run_out, cannot_read])
def test_a_newcomer_that_fails_is_given_up(data, expected, fault):
    cluster = ThreadCluster(MODEL, 13, 2)
    blocks = place(cluster, data, 2)
    cluster.script = lambda number, method: fault(number) if (number, method) == (2, "take") else None
    cluster.grow(1)
    until(
        lambda: (len(cluster.workers), len(cluster.alive), len(blocks._members), len(blocks._moves)) == (3, 2, 2, 0),
        blocks,
    )
    assert [bytes_of(blocks.sum(request)) for request in requests(4)] == expected
    assert blocks.health.losses == 0
    assert len(cluster.workers) == 3
    assert len(cluster.alive) == 2
    blocks.close()


@pytest.mark.parametrize(("method", "anew"), [("describe", "hold_and_describe"), ("answer", "take_and_answer")])
def test_a_replacement_that_cannot_read_is_given_up(data, expected, caplog, method, anew):
    cluster = ThreadCluster(MODEL, 13, 3)
    die_once = once(1, method, die)

    def script(number, called):
        die_once(number, called)
        if (number, called) == (3, anew):
            cannot_read(number)

    cluster.script = script
    blocks = place(cluster, data, failures=1)
    for _ in range(3):
        assert [bytes_of(blocks.sum(request)) for request in requests(4)] == expected
    assert "worker 1 is given up, as it could not take blocks 5..8: the file is not on this node" in caplog.text
    assert blocks.health.losses == 1
    assert len(cluster.workers) == 4  # and no other in its place
    assert len(cluster.alive) == blocks.health.workers == 2
    blocks.close()


@pytest.mark.parametrize("workers", [1, 3])
def test_data_that_nobody_can_read_again_is_an_error(data, workers):
    cluster = ThreadCluster(MODEL, 13, 4)
    blocks = place(cluster, data, workers, failures=1)
    die_once = once(0, "answer", die)
    asked = []

    def script(number, method):
        die_once(number, method)
        if method == "take_and_answer":
            asked.append(number)
            cannot_read(number)

    cluster.script = script
    with pytest.raises(DataError, match="the file is not on this node"):
        blocks.sum(requests(1)[0])
    assert asked[0] == workers
    assert bool(asked[1:]) == (workers > 1)
    assert not cluster.alive


def test_data_that_changed_is_told_by_the_first_who_reads_it_again(data):
    cluster = ThreadCluster(MODEL, 13, 3)
    blocks = place(cluster, data, failures=1)
    die_once = once(1, "answer", die)

    def script(number, method):
        die_once(number, method)
        if method == "take_and_answer":
            assert number == 3
            raise _worker.Changed("other rows, says the test")

    cluster.script = script
    with pytest.raises(DataError, match="other rows"):
        blocks.sum(requests(1)[0])
    blocks.close()


def slow_down(worker, seconds):
    """What `worker` tells of its time."""
    answer = worker.sum

    def slowly(request, asked):
        parts = answer(request, asked)
        worker.seconds = dict.fromkeys(asked, seconds)
        return parts

    worker.sum = slowly


def test_stragglers_are_told_and_relieved(data, expected, caplog):
    cluster = ThreadCluster(MODEL, 13, 3)
    blocks = place(cluster, data, 3, most=3)
    for number, member in enumerate(blocks._members):
        slow_down(member.worker.worker, 0.05 if number == 1 else 0.01)
    with caplog.at_level(logging.WARNING):
        until(lambda: blocks.health.moved > 0, blocks)
    assert [bytes_of(blocks.sum(request)) for request in requests(4)] == expected
    assert len(blocks._members[1].blocks) == 1  # 5 times as slow as the others, which have 6
    (told,) = [record.getMessage() for record in caplog.records]
    assert "worker 1 is a straggler" in told
    blocks.close()


def test_a_worker_that_could_not_take_blocks_is_given_no_more(data, expected):
    cluster = ThreadCluster(MODEL, 13, 3)
    blocks = place(cluster, data, 3, most=3)
    for number, member in enumerate(blocks._members):
        slow_down(member.worker.worker, 0.05 if number == 1 else 0.01)
    tried = []

    def script(number, method):
        if (number, method) == (2, "take"):  # it holds the fewest rows and is asked first
            tried.append(number)
            cannot_read(number)

    cluster.script = script
    until(lambda: len(blocks._members[1].blocks) < 3, blocks)
    assert [bytes_of(blocks.sum(request)) for request in requests(4)] == expected
    assert len(tried) == 1
    assert len(blocks._members[2].blocks) == 4
    blocks.close()


def test_no_block_is_in_two_moves_at_once(data, expected):
    ready, take = threading.Event(), threading.Event()

    def script(number, method):
        if (number, method) == (4, "ready"):
            assert ready.wait(30)
        if (number, method) == (3, "take"):
            assert take.wait(30)

    cluster = ThreadCluster(MODEL, 13, 3, script)
    blocks = place(cluster, data, 3)
    for number, member in enumerate(blocks._members):
        slow_down(member.worker.worker, 0.5 if number == 1 else 0.01)
    cluster.grow(2)

    def ask(times):
        for _ in range(times):
            assert bytes_of(blocks.sum(requests(1)[0])) == expected[0]
            moving = [block for move in blocks._moves for block in move.call.blocks]
            assert len(set(moving)) == len(moving)
            assert sorted(block for member in blocks._members for block in member.blocks) == list(range(13))
            time.sleep(0.02)

    ask(5)  # the straggler could be relieved, while a newcomer does not run yet
    ready.set()
    ask(3)
    take.set()
    until(lambda: blocks.health.moved and not blocks._moves, blocks)
    ask(10)  # whose moves may be of blocks that moved on in the plan
    blocks.close()


@pytest.mark.parametrize("fault", [None, die])
def test_an_interrupt_at_any_line_of_a_move_loses_no_block(data, expected, fault):
    for line in range(100):
        cluster = ThreadCluster(MODEL, 13, 2)
        blocks = place(cluster, data, 2)
        if fault:
            cluster.script = once(2, "take", fault)
        cluster.grow(1)
        until(lambda blocks=blocks: blocks._moves, blocks)
        wait([move.call.answer for move in blocks._moves])
        interrupted = interrupt(line, blocks._finish_moves)
        assert [bytes_of(blocks.sum(request)) for request in requests(2)] == expected[:2]
        assert sorted(block for member in blocks._members for block in member.blocks) == list(range(13))
        assert len(blocks._members) == len(cluster.alive) == (2 if fault else 3)
        for member in blocks._members:
            cluster.collect([member.dropping or cluster.put(None)], 5)
            assert sorted(member.worker.worker._cache._cached) == member.blocks
        blocks.close()
        if not interrupted:
            break
    assert line > 10


def interrupt(line, function):
    """Whether KeyboardInterrupt could be raised before the line that comes to be run as that number, counted from 0."""
    left = [line]

    def trace(frame, event, arg):
        if event == "line":
            left[0] -= 1
            if left[0] == -1:
                raise KeyboardInterrupt
        return trace if frame.f_code.co_filename == _supervisor.__file__ else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        function()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(before)
    return False


def test_blocks_that_move_on_in_a_plan_go_straight_to_where_they_end(data, expected, monkeypatch):
    cluster = ThreadCluster(MODEL, 13, 3)
    blocks = place(cluster, data, 3, most=3)
    monkeypatch.setattr(blocks, "_plan", lambda: [Move(9, 2, 0), Move(4, 0, 1), Move(9, 0, 1), Move(4, 1, 0)])
    blocks._rebalance()
    assert [(str(move.donor), move.call.blocks, str(move.call.member)) for move in blocks._moves] == [
        ("worker 2", [9], "worker 1")
    ]
    blocks.close()


def test_few_blocks_move():
    assert moves([[0, 1, 2], [3, 4, 5]], lambda place, block: 1.0, 6) == []
    assert moves([[0, 1, 2], [3, 4]], lambda place, block: 1.0, 5) == []
    assert moves([[0], [1], [2], []], lambda place, block: 1.0, 3) == []
    assert moves([[0, 1, 2, 3], []], lambda place, block: 1.0, 4) == [Move(0, 0, 1), Move(1, 0, 1)]
    # Four times as slow: 2 blocks take as long as 8, and 6 are more even than 7.
    times = [1.0, 0.25]
    planned = moves([[0, 1, 2, 3], [4, 5, 6, 7]], lambda place, block: times[place], 8)
    assert len(planned) == 2
    assert {move.donor for move in planned} == {0}


def test_shares_in_words_and_in_parts():
    assert split(range(10), 4) == [[0, 1, 2], [3, 4, 5], [6, 7], [8, 9]]
    assert split([4, 7], 3) == [[4], [7]]
    assert parts(frozenset(range(8)), 64) == 1
    assert parts(frozenset([1, 2, 5]), 8) == 3
    assert runs([5, 0, 1, 2]) == "0..2, 5"


def test_limits_are_checked():
    with pytest.raises(ValueError, match="num_workers must be at least 1"):
        Limits(0, 0, 1.0, 1.0).check()
    with pytest.raises(ValueError, match="max_failures must be 0 or more"):
        Limits(None, -1, 1.0, 1.0).check()
    with pytest.raises(ValueError, match="timeout must be positive, got 0"):
        Limits(None, 0, 0.0, 1.0).check()


def test_a_worker_that_is_asked_again_keeps_each_part_once(data, monkeypatch):
    """As when its answer was lost on the way, after it had taken over the blocks of another."""
    monkeypatch.setattr("fullbatch.engines._remote_worker.KEPT_BYTES", 0)
    blocks = SerialEngine().place(MODEL, data)
    request, worker = requests(1)[0], RemoteWorker(MODEL, len(data), 1)
    hashes = worker.hold_and_describe(dict(enumerate(data[:4]))).hashes
    worker.drop([2, 3])
    worker.build(blocks.schema, [0, 1])
    for _ in range(2):
        worker.answer(Message([0, 1], 1, request))
    worker.take_and_answer({2: data[2], 3: data[3]}, blocks.schema, hashes, Message([2, 3], 1, request))
    worker.answer(Message([0, 1], 1, request))
    assert [(part.level, part.position) for part in worker.merge(1)] == [(2, 0)]


def test_bytes_sent_and_received():
    """One theta to each worker; of whole halves of the summation tree, one gradient back."""
    X, y = np.random.default_rng(0).random((160, 4)), np.arange(160) % 2
    blocks = place(ThreadCluster(MODEL, 16, 2), array_sources(X, y, blocks=16), 2, most=2)
    for number, request in enumerate(requests(3), 1):
        blocks.sum(request)
        assert (blocks.health.sent, blocks.health.received) == (number * 2 * 5 * 8, number * 2 * 5 * 8)
    blocks.close()


def watched(data, monkeypatch, caplog, seconds_of_a_block):
    """Passes in which worker 1 tells of such seconds and the others of 0.01: at which it is told of, and relieved."""
    monkeypatch.setattr(_supervisor, "_LOOK", 1e9)
    blocks = place(ThreadCluster(MODEL, 13, 3), data, 3, most=3)
    blocks._read_seconds = [0.3] * 13
    told, relieved = [], []
    for number, seconds in enumerate(seconds_of_a_block, 1):
        for member in blocks._members:
            slow_down(member.worker.worker, seconds if member.number == 1 else 0.01)
        monkeypatch.setattr(blocks, "_rebalance", lambda number=number: relieved.append(number))
        before = caplog.text.count("worker 1 is a straggler")
        blocks.sum(requests(1)[0])
        told += [number] * (caplog.text.count("worker 1 is a straggler") - before)
    blocks.close()
    return told, relieved


def test_one_slow_pass_is_chance_and_waste_is_counted_anew_after_a_relief(data, monkeypatch, caplog):
    assert watched(data, monkeypatch, caplog, [0.01, 5.0, 0.01, 5.0, 0.01]) == ([], [])
    # Its four blocks waste 4 * 0.04 s in each pass but the first; to read them anew takes 4 * 0.3 s, as much as 7.5.
    assert watched(data, monkeypatch, caplog, [0.05] * 18) == ([2], [9, 17])


def test_bytes_of_messages_are_those_of_all_arrays_in_them():
    one = ValueGrad(np.zeros(5))
    assert nbytes(one) == 40
    assert nbytes(OfClasses((0, 2), (one, one))) == 80
    assert nbytes(Each((Eval(1.0, np.zeros(5), 2.0), Eval(1.0, np.zeros(5), 2.0)))) == 80
