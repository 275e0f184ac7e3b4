import subprocess
import sys

from ol0.kafka.transactions import must_return

STUCK = """
from threading import Event
from ol0.kafka.transactions import must_return
with must_return("canary, a call", 0.2):
    Event().wait(60)
"""


def test_a_call_that_does_not_come_back_ends_the_process_with_its_name() -> None:
    ended = subprocess.run([sys.executable, "-c", STUCK], capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 1
    assert ended.stderr == "ol0: canary, a call: did not come back within 0.2 s; ending, to be started again\n"


def test_a_call_that_comes_back_is_left_alone() -> None:
    with must_return("a call", 30.0):
        pass
