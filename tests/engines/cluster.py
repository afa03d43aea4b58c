"""A cluster of threads whose workers fail when they are told to: for testing the supervisor without any cluster."""

import threading
import time
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait

from fullbatch.engines._cluster import Lost
from fullbatch.engines._remote_worker import RemoteWorker


class Fault(Exception):
    """Raised by a script to lose the worker that calls it."""


class ThreadWorker:
    def __init__(self, number, worker):
        self.number, self.worker = number, worker
        self.pool = ThreadPoolExecutor(1)
        self.dead = threading.Event()
        self.calls = []


class ThreadCluster:
    """`script(worker number, method)` is called before each call on the worker: it may raise, sleep or hang."""

    def __init__(self, model, blocks, capacity, script=lambda number, method: None):
        self.model, self.blocks, self.capacity, self.script = model, blocks, capacity, script
        self.workers = []
        self.puts = 0
        self.order = None
        self.known = capacity

    @property
    def alive(self):
        return [worker for worker in self.workers if not worker.dead.is_set()]

    def start(self):
        assert len(self.alive) < self.capacity, "a worker was started where there is no room"
        self.workers.append(ThreadWorker(len(self.workers), RemoteWorker(self.model, self.blocks, 1, "auto", 1)))
        return self.workers[-1]

    def call(self, worker, method, *args, pieces=1):
        answer = Future()
        worker.calls.append(answer)

        def serve():
            try:
                passed = [arg.result(timeout=60) if isinstance(arg, Future) else arg for arg in args]
                self.script(worker.number, method)
                got = getattr(worker.worker, method)(*passed)
                assert pieces == 1 or len(got) == pieces
                outcome, take = got, answer.set_result
            except Fault as fault:
                return self.fail(worker, str(fault))
            except Exception as error:
                outcome, take = error, answer.set_exception
            if not answer.done():
                take(outcome)

        if worker.dead.is_set():
            self.fail(worker, "called when it was dead")
        else:
            worker.pool.submit(serve)
        return answer

    def fail(self, worker, reason):
        worker.dead.set()
        for answer in worker.calls:
            if not answer.done():
                answer.set_exception(Lost(reason))

    def collect(self, calls, timeout):
        wait(calls, timeout, FIRST_EXCEPTION)
        done = {place: call for place, call in enumerate(calls) if call.done()}
        return {place: call.exception() or call.result() for place, call in done.items()}

    def by_locality(self, workers, shares):
        return self.order or list(range(len(workers)))

    def put(self, value):
        self.puts += 1
        stored = Future()
        stored.set_result(value)
        return stored

    def kill(self, worker):
        self.fail(worker, "killed")
        worker.pool.shutdown(wait=False)

    end = kill

    def room(self):
        return self.capacity - len(self.alive)

    def grow(self, by):
        self.capacity += by

    def grown(self):
        before, self.known = self.known, self.capacity
        return self.known - before

    def shortage(self):
        return f"there is room for {self.room()}"

    def is_open(self):
        return True

    def hang(self, number):
        """For scripts: do not answer until the driver ends this worker."""
        worker = self.workers[number]
        assert worker.dead.wait(30), "a worker that hangs was not ended"
        time.sleep(0.01)
        raise Fault("ended")
