"""The rows of the table: what is measured, by which program, against which limit.

A row is a function of a Bench that gives a Row. Subjects take turns, one repetition each, so that
what else the machine does meets all of them; a ratio is the median of the ratios of each turn.
"""

import json
import os
import shutil
import statistics
import subprocess
import time

from subjects import ENVIRONMENT, Agent, descriptors, pss_kib, switches

MIB, GIB = 1 << 20, 1 << 30
LIMIT, OURS = "limit", "agent"


class Failed(Exception):
    """A measuring program has failed; the text is what it said."""


def report_of(command, environment=None):
    """The one object that a program prints."""
    result = subprocess.run(
        command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300, env=environment
    )
    if result.returncode != 0:
        raise Failed(f"{os.path.basename(command[0])}: {result.stderr.strip()[-300:]}")
    return json.loads(result.stdout)


class Row:
    """One line: figures by subject, in the order of the repetitions."""

    def __init__(self, name, what, unit, aim, meets=None, best_peer="-", higher_is_better=False, limit="-"):
        self.name, self.what, self.unit, self.aim = name, what, unit, aim
        self.meets = meets  # of (our figure, ratio); None: there is no aim
        self.best_peer, self.limit = best_peer, limit
        self.pick_best = max if higher_is_better else min
        self.figures = {}
        self.notes = []
        self.failure = None

    def add(self, subject, figure):
        self.figures.setdefault(subject, []).append(figure)

    def median(self, subject):
        return statistics.median(self.figures[subject]) if subject in self.figures else None

    def best(self, subject):
        return self.pick_best(self.figures[subject]) if subject in self.figures else None

    def ratio(self, subject=OURS):
        pairs = zip(self.figures.get(subject, []), self.figures.get(LIMIT, []))
        ratios = [figure / limit for figure, limit in pairs if limit]
        return statistics.median(ratios) if ratios else None

    def ratio_of_best(self):
        best, limit = self.best(OURS), self.best(LIMIT)
        return best / limit if best is not None and limit else None

    def is_met(self):
        ours = self.median(OURS)
        return None if self.meets is None or ours is None else self.meets(ours, self.ratio())


class Bench:
    """Where things are, and how much of it all."""

    def __init__(self, directory, programs, agent, peers, quick):
        self.directory, self.programs, self.agent_program = directory, programs, agent
        self.peers, self.quick = peers, quick
        self.main_agent = None
        self.count = 0

    def turns(self, full, quick):
        return quick if self.quick else full

    def program(self, name):
        return os.path.join(self.programs, name)

    def agent(self):
        """The one that most rows use."""
        if not self.main_agent:
            self.main_agent = Agent(self.directory, self.agent_program).start()
        return self.main_agent

    def fresh_agent(self):
        """One of its own copy of the program, so that it shares no memory with another."""
        self.count += 1
        program = os.path.join(self.directory, f"nullspace-agent-{self.count}")
        shutil.copy(self.agent_program, program)
        return Agent(self.directory, program, f"agent-{self.count}").start()

    def stop(self):
        if self.main_agent:
            self.main_agent.stop()

    def command(self, name, subject, *arguments):
        command = [self.program(name)]
        if subject:
            command += ["--target", subject.target]
            for pid in subject.pids:
                command += ["--pid", str(pid)]
        return command + [str(argument) for argument in arguments]

    def measure(self, name, subject, *arguments):
        """What a program reports of a subject; None is the bare kernel."""
        return report_of(self.command(name, subject, *arguments))

    def take_turns(self, row, turns, name, key, scale, arguments, kinds=("agent", "qga", "ssh")):
        """Fills the row with the figure `key` of a program; returns all that it reported of us."""
        subjects = [(LIMIT, None), (OURS, self.agent())]
        subjects += [(peer.name, peer) for peer in self.peers if peer.target.split(":")[0] in kinds]
        ours = []
        for _ in range(turns):
            for label, subject in subjects:
                report = self.measure(name, subject, *arguments)
                row.add(label, report[key] * scale)
                if label == OURS:
                    ours.append(report)
        return ours


def median_of(reports, key):
    return statistics.median(report[key] for report in reports)


def note_exec(row, reports):
    row.notes.append(
        f"p99 {median_of(reports, 'p99_us') / 1e3:.2f} ms, CPU of supervisor and agent "
        f"{median_of(reports, 'cpu_us'):.0f} us, {median_of(reports, 'events'):.1f} frames each"
    )


def exec_true(bench):
    row = Row("exec-true", "exec true, streamed, back to back, p50", "ms", "<= 1.45x",
              lambda ours, ratio: ratio <= 1.45, "2.2x polled, 5.2x streamed", limit="vfork, exec, wait")
    arguments = ["--count", bench.turns(300, 100), "--warm-up", 20]
    note_exec(row, bench.take_turns(row, bench.turns(7, 3), "exec", "p50_us", 1e-3, arguments))
    return row


def exec_static(bench):
    row = Row("exec-static", "exec of a static program without libc, p50", "ms", "<= 2.5x",
              lambda ours, ratio: ratio <= 2.5, limit="vfork, exec, wait")
    arguments = ["--count", bench.turns(300, 100), "--warm-up", 20, "--program", bench.program("nolibc_true")]
    note_exec(row, bench.take_turns(row, bench.turns(7, 3), "exec", "p50_us", 1e-3, arguments))
    return row


def exec_gap(bench):
    row = Row("exec-gap", "exec true once every 100 ms, p50", "ms", "<= 1.7x",
              lambda ours, ratio: ratio <= 1.7, "5x", limit="vfork, exec, wait, same gaps")
    arguments = ["--count", bench.turns(20, 8), "--warm-up", 1, "--gap-ms", 100]
    note_exec(row, bench.take_turns(row, bench.turns(5, 2), "exec", "p50_us", 1e-3, arguments))
    return row


def exec_16(bench):
    row = Row("exec-16", "exec true, 16 at once on one connection", "1/s", ">= 0.45x",
              lambda ours, ratio: ratio >= 0.45, "0.27x", higher_is_better=True, limit="16 vforks at once")
    arguments = ["--count", bench.turns(800, 320), "--warm-up", 32, "--parallel", 16]
    note_exec(row, bench.take_turns(row, bench.turns(5, 3), "exec", "per_s", 1, arguments))
    return row


def ping_row(bench, name, what, aim, meets, core):
    row = Row(name, what, "us", aim, meets, "3x", limit="unix socket ping-pong, same size")
    arguments = ["--count", bench.turns(3000, 1000), "--warm-up", 100]
    subjects = [bench.agent(), *(peer for peer in bench.peers if peer.name == "qemu-ga")]
    cores = os.sched_getaffinity(0)
    if core is not None:
        arguments += ["--core", core]
        for pid in (pid for subject in subjects for pid in subject.pids):
            os.sched_setaffinity(pid, {core})
    try:
        reports = bench.take_turns(row, bench.turns(7, 3), "ping", "p50_us", 1, arguments, ("agent", "qga"))
    finally:
        for pid in (pid for subject in subjects for pid in subject.pids):
            os.sched_setaffinity(pid, cores)
    row.notes.append(f"p99 {median_of(reports, 'p99_us'):.0f} us, CPU {median_of(reports, 'cpu_us'):.1f} us each")
    return row


def ping(bench):
    return ping_row(bench, "ping", "ping, all on one core, p50", "<= 2x", lambda ours, ratio: ratio <= 2,
                    max(os.sched_getaffinity(0)))


def ping_unpinned(bench):
    return ping_row(bench, "ping-unpinned", "ping, wherever the kernel puts them, p50", "-", None, None)


def stream_rows(bench, name, what, arguments, turns, rate_aim, cpu_aim, peers):
    rate = Row(name, what, "MiB/s", f">= {rate_aim}x", lambda ours, ratio: ratio >= rate_aim, peers[0],
               higher_is_better=True, limit="pump of 64 KiB pieces")
    cpu = Row(f"{name}-cpu", f"{what}: CPU", "s/GiB", f"<= {cpu_aim}x" if cpu_aim else "-",
              (lambda ours, ratio: ratio <= cpu_aim) if cpu_aim else None, peers[1], limit="the pump's CPU")
    subjects = [(LIMIT, None), (OURS, bench.agent())]
    subjects += [(peer.name, peer) for peer in bench.peers if peer.name == "openssh"]
    for _ in range(turns):
        for label, subject in subjects:
            report = bench.measure("stream", subject, *arguments)
            rate.add(label, report["mib_per_s"])
            cpu.add(label, report["cpu_s_per_gib"])
    if bench.peers:
        rate.notes.append("qemu-ga is left out: it keeps at most 16 MiB of output")
    return [rate, cpu]


def stdout(bench):
    size = bench.turns(GIB, GIB // 4)
    return stream_rows(bench, "stdout", f"stdout {size // MIB} MiB", ["--bytes", size], bench.turns(7, 3), 0.75, 1.6,
                       ("0.4x", "3.3x"))


def stdin(bench):
    size = bench.turns(GIB // 4, GIB // 8)
    return stream_rows(bench, "stdin", f"stdin {size // MIB} MiB", ["--input", "--bytes", size], bench.turns(7, 3), 0.5,
                       None, ("0.4x", "-"))


def sendfile(bench):
    row = Row("sendfile", "sendfile from memory to a unix socket, 1 GiB", "MiB/s", "-", higher_is_better=True)
    for _ in range(bench.turns(5, 3)):
        row.add(LIMIT, bench.measure("sendfile", None, "--bytes", GIB)["mib_per_s"])
    row.notes.append("only the limit: nothing of ours uses it yet")
    return row


def memory(bench):
    row = Row("memory", "memory idle, supervisor and agent (PSS)", "KiB", "< 1536",
              lambda ours, ratio: ours < 1536, "1.8 MiB")
    for _ in range(bench.turns(3, 1)):
        agent = bench.fresh_agent()
        try:
            bench.measure("exec", agent, "--count", 1)
            time.sleep(0.2)
            row.add(OURS, pss_kib(agent.pids))
        finally:
            agent.stop()
    for peer in bench.peers:
        row.add(peer.name, pss_kib(peer.pids))
    row.notes.append("after one exec; peers after the rows above")
    return row


def growth(bench, row, before, arguments):
    """Memory more after 1,000 execs than after `before` of them, on an agent of its own."""
    agent = bench.fresh_agent()
    try:
        bench.measure("exec", agent, "--count", before, *arguments)
        time.sleep(0.2)
        start = pss_kib(agent.pids)
        bench.measure("exec", agent, "--count", 1000, *arguments)
        time.sleep(0.2)
        row.add(OURS, pss_kib(agent.pids) - start)
    finally:
        agent.stop()


def growth_row(bench, name, what, before, arguments, has_aim=True):
    row = Row(name, what, "KiB", "< 64" if has_aim else "-", (lambda ours, ratio: ours < 64) if has_aim else None,
              "12 MiB")
    for _ in range(bench.turns(3, 1)):
        growth(bench, row, before, arguments)
    return row


def memory_forgotten(bench):
    return growth_row(bench, "memory-forgotten", "more after 1,000 execs, each forgotten", 20, ["--forget"])


def memory_kept(bench):
    row = growth_row(bench, "memory-kept", "more after 1,000 execs, all kept to be asked about", 20, [], has_aim=False)
    row.notes.append("so many are kept on purpose (limit EXITED, 1,024)")
    return row


def memory_again(bench):
    return growth_row(bench, "memory-again", "more after 1,000 execs, 2,200 before them", 2200, [])


def memory_16(bench):
    return growth_row(bench, "memory-16", "more after 1,000 execs, 16 at once, each forgotten", 64,
                      ["--parallel", 16, "--forget"], has_aim=False)


def resting(bench):
    count = bench.turns(1000, 200)
    row = Row("resting", f"{count} resting processes with attached streams, each", "KiB", "<= 8",
              lambda ours, ratio: ours <= 8, "31 KiB")
    agent = bench.fresh_agent()
    try:
        bench.measure("exec", agent, "--count", 20)
        before, files = pss_kib(agent.pids), descriptors(agent.pids)
        quick = bench.measure("exec", agent, "--count", 100)["p50_us"]
        command = bench.command("rest", agent, "--count", count)
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
            opened = json.loads(holder.stdout.readline() or "{}")
            if not opened:
                raise Failed("rest: " + str(holder.wait()))
            row.add(OURS, (pss_kib(agent.pids) - before) / count)
            used = (descriptors(agent.pids) - files) / count
            slower = bench.measure("exec", agent, "--count", 100)["p50_us"]
            holder.stdin.close()
            closed = json.loads(holder.stdout.readline() or "{}")
        time.sleep(0.5)
        row.notes.append(
            f"{used:.1f} descriptors each, {opened['open_p50_us'] / 1e3:.2f} ms to open one, exec true "
            f"{quick / 1e3:.2f} ms before and {slower / 1e3:.2f} ms beside them, all ended in "
            f"{closed.get('close_ms', 0):.0f} ms, then {pss_kib(agent.pids) - before} KiB more than at first"
        )
    finally:
        agent.stop()
    return row


def slow_reader(bench):
    size = bench.turns(GIB, GIB // 4)
    ring = 1024
    grown = Row("slow-reader", f"slow reader, {size // MIB} MiB pending: memory more", "KiB", f"<= {ring + 64}",
                lambda ours, ratio: ours <= ring + 64, "5-12 MiB")
    lost = Row("slow-reader-lost", "slow reader: bytes lost", "bytes", "0", lambda ours, ratio: ours == 0, "0")
    others = Row("slow-reader-others", "slow reader: others' exec then, against before, p50", "ms", "unchanged",
                 lambda ours, ratio: ratio <= 1.25, limit="the same before")
    agent = bench.fresh_agent()
    try:
        report = bench.measure("slow", agent, "--forget", "--bytes", size, "--stall-ms", bench.turns(4000, 1500))
    finally:
        agent.stop()
    grown.add(OURS, report["pss_peak_kib"] - report["pss_before_kib"])
    resting_kib = report["pss_stalled_kib"] - report["pss_before_kib"]
    grown.notes.append(f"{resting_kib:.0f} KiB while the reader rests")
    lost.add(OURS, report["lost"])
    others.add(LIMIT, report["exec_before_p50_us"] / 1e3)
    others.add(OURS, report["exec_stalled_p50_us"] / 1e3)
    others.notes.append(
        f"p99 {report['exec_stalled_p99_us'] / 1e3:.1f} against {report['exec_before_p99_us'] / 1e3:.1f} ms; ping p50 "
        f"{report['ping_stalled_p50_us']:.0f} against {report['ping_before_p50_us']:.0f} us"
    )
    return [grown, lost, others]


def start(bench):
    row = Row("start", "start to the first answered hello", "ms", "<= 3", lambda ours, ratio: ours <= 3, "3.7 ms")
    directory = os.path.join(bench.directory, "start")
    os.makedirs(directory, exist_ok=True)
    address = os.path.join(directory, "socket")
    for _ in range(bench.turns(7, 3)):
        command = [bench.program("start"), "--target", f"agent:{address}", "--count", "3", "--", bench.agent_program]
        command += ["--listen", f"unix:{address}", "--log-level", "error"]
        row.add(OURS, report_of(command, ENVIRONMENT)["p50_us"] / 1e3)
    return row


def idle(bench):
    seconds = bench.turns(10, 4)
    row = Row("idle", f"wake-ups in {seconds} s, a connection open", "", "0", lambda ours, ratio: ours == 0, "0")
    agent = bench.fresh_agent()
    try:
        command = bench.command("rest", agent, "--count", 1)
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
            holder.stdout.readline()
            time.sleep(1)
            before = switches(agent.pids)
            time.sleep(seconds)
            row.add(OURS, switches(agent.pids) - before)
            holder.stdin.close()
    finally:
        agent.stop()
    row.notes.append("and one resting process; the keepalive speaks only after 15 s of silence")
    return row


ROWS = (
    exec_true,
    exec_static,
    exec_gap,
    exec_16,
    ping,
    ping_unpinned,
    stdout,
    stdin,
    sendfile,
    memory,
    memory_forgotten,
    memory_kept,
    memory_again,
    memory_16,
    resting,
    slow_reader,
    start,
    idle,
)
