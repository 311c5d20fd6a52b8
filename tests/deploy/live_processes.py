"""Child processes of the live test: servers on free loopback ports, and programs that run beside
them. Each ends with the test, however that ends."""

import ctypes
import signal
import subprocess
import time

START_TIMEOUT_S = 60
STOP_TIMEOUT_S = 30
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)


def _die_with_parent():
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def await_value(what, ask, timeout_s, pause_s=0.1):
    """The first true value of ask() and the seconds it took; fails with `what` at the deadline."""
    started = time.monotonic()
    while True:
        if value := ask():
            return value, time.monotonic() - started
        if time.monotonic() - started > timeout_s:
            raise TimeoutError(f"{what}: not within {timeout_s} s")
        time.sleep(pause_s)


class Child:
    """A process whose output goes to FOLDER/NAME.log."""

    def __init__(self, folder, name, command):
        self.name, self.log = name, folder / f"{name}.log"
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                preexec_fn=_die_with_parent)

    def is_running(self):
        return self.process.poll() is None

    def tail(self, num_lines=15):
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-num_lines:])

    def stop(self, how=signal.SIGTERM):
        """Ends it, by SIGKILL where it has not ended in time."""
        if self.is_running():
            self.process.send_signal(how)
        try:
            self.process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Server(Child):
    """A Tramontane server. `labels` are those of its scrape target."""

    def __init__(self, folder, binary, name, flags, labels, listen="127.0.0.1:0",
                 metrics_listen="127.0.0.1:0"):
        self.folder, self.binary, self.flags, self.labels = folder, binary, flags, labels
        self._address_file = folder / f"{name}.address"
        self._address_file.unlink(missing_ok=True)
        super().__init__(folder, name, [
            str(binary), *flags, f"--listen={listen}", f"--metrics_listen={metrics_listen}",
            f"--address_file={self._address_file}"])
        lines, _ = await_value(f"{name} listens", self._addresses, START_TIMEOUT_S, 0.02)
        self.address, self.metrics_address = lines[:2]

    def _addresses(self):
        if self._address_file.exists():
            lines = self._address_file.read_text().split()
            if len(lines) >= 2:
                return lines
        if not self.is_running():
            raise ChildProcessError(f"{self.name} ended before it listened:\n{self.tail()}")
        return None

    def started_again(self):
        """The same server on the same ports, after stop()."""
        return Server(self.folder, self.binary, self.name, self.flags, self.labels, self.address,
                      self.metrics_address)


class Repeated:
    """A program that is run again and again in a thread's place: poll() starts the next run once
    the last has ended. command(i) is the i-th command."""

    def __init__(self, folder, name, command):
        self._folder, self._name, self._command = folder, name, command
        self._child, self.num_runs = None, 0

    def poll(self):
        if self._child is None or not self._child.is_running():
            if self._child is not None and self._child.process.returncode != 0:
                raise ChildProcessError(f"{self._name} failed:\n{self._child.tail()}")
            self._child = Child(self._folder, self._name, self._command(self.num_runs))
            self.num_runs += 1

    def stop(self):
        if self._child is not None:
            self._child.stop()
