"""The base of every end-to-end test: needs root, starts runs, and ends with nothing left."""
import os
import shutil
import sys
import tempfile
import time
import unittest

import mayfly
import netns


def main():
    """Runs the tests of the calling file; exit 77 (a skip to ctest) if none could run."""
    program = unittest.main(module="__main__", exit=False, verbosity=2)
    result = program.result
    for case, reason in result.skipped:
        print(f"SKIPPED {case}: {reason}", file=sys.stderr)
    if not result.wasSuccessful():
        sys.exit(1)
    sys.exit(77 if result.testsRun == len(result.skipped) else 0)


@unittest.skipUnless(os.geteuid() == 0, "network namespaces need root")
class Scenario(unittest.TestCase):
    def start(self, config, **options):
        """Starts Mayfly; it is killed and its leftovers are looked for when the test ends."""
        run = self.prepare(config, **options)
        return run.start()

    def prepare(self, config, **options):
        run = mayfly.Mayfly(config, **options)
        self.addCleanup(run.cleanup)
        return run

    def namespace(self, role):
        namespace = netns.Namespace(role)
        self.addCleanup(namespace.remove)
        return namespace

    def folder(self, what):
        """A folder that goes with the test."""
        path = tempfile.mkdtemp(prefix=f"mayfly-e2e-{what}-")
        self.addCleanup(shutil.rmtree, path, ignore_errors=True)
        return path

    def background(self, process, seconds=5):
        """Ends the process with the test."""
        def end():
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(seconds)
                except Exception:  # pylint: disable=broad-except
                    process.kill()
                    process.wait()
        self.addCleanup(end)
        return process

    def eventually(self, condition, seconds, what):
        """Polls until `condition()` is true and returns its value."""
        deadline = time.monotonic() + seconds * mayfly.stretch()
        while True:
            value = condition()
            if value:
                return value
            if time.monotonic() > deadline:
                self.fail(f"not within {seconds} s: {what}")
            time.sleep(0.01)

    def drops(self, report, *allowed):
        """No packet was dropped but for the `allowed` reasons."""
        others = {k: v for k, v in report["packets"]["drops"].items() if v and k not in allowed}
        self.assertEqual(others, {}, f"drops: {report['packets']}")
