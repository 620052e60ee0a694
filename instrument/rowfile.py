"""rows.jsonl: a row is on the disk before the next is measured, and a file that a kill cut off in
the middle of a row is whole again when it is opened."""
import fcntl
import json
import os
import pathlib

# A window with one of these is no evidence and is measured again: time stolen from the machine, a
# vSwitch that waited for its CPU, a run whose packets did not add up.
DISTURBED = frozenset({"steal", "vswitch_wait", "accounts"})


def key_of(point):
    """A point as something that can be a key."""
    return tuple(sorted((axis, str(value)) for axis, value in point.items()))


class Busy(OSError):
    """Another process writes this file."""


class RowFile:
    def __init__(self, path):
        self.path = pathlib.Path(path)
        self.rows = []
        self._by_point = {}
        self._file = None

    def __enter__(self):
        self._file = open(self.path, "a+b")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            self._file.close()
            raise Busy(f"{self.path}: another sweep is writing here") from error
        self._load()
        return self

    def __exit__(self, *_):
        self._file.close()

    def _load(self):
        self._file.seek(0)
        data = self._file.read()
        whole = data.rfind(b"\n") + 1
        if whole != len(data):
            self._file.truncate(whole)
        for line in data[:whole].splitlines():
            if line.strip():
                self._keep(json.loads(line))

    def _keep(self, row):
        self.rows.append(row)
        self._by_point.setdefault(key_of(row["point"]), []).append(row)

    def append(self, row):
        self._file.seek(0, os.SEEK_END)
        self._file.write(_line(row))
        self._file.flush()
        os.fsync(self._file.fileno())
        self._keep(row)

    def flag(self, rows, flag):
        """Adds `flag` to rows that were written already. Rare (a run whose accounts failed at its
        end), so the file is written anew, and replaced whole."""
        for row in rows:
            if flag not in row["flags"]:
                row["flags"].append(flag)
        beside = self.path.with_name(self.path.name + ".new")
        with open(beside, "wb") as file:
            file.writelines(_line(row) for row in self.rows)
            file.flush()
            os.fsync(file.fileno())
            os.replace(beside, self.path)
        self._file.close()
        self._file = open(self.path, "a+b")
        fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)

    # What is there -------------------------------------------------------------------------------

    def of(self, point, repeat=None):
        return [row for row in self._by_point.get(key_of(point), ())
                if repeat is None or row["repeat"] == repeat]

    def values(self, point, figure):
        """That figure of the point's undisturbed rows."""
        values = []
        for row in self.of(point):
            if row["kind"] not in ("measured", "saturation") or DISTURBED & set(row["flags"]):
                continue
            value = row["figures"]
            for name in figure.split("."):
                value = value.get(name) if isinstance(value, dict) else None
            if value is not None:
                values.append(value)
        return values

    def settled(self, point, repeat, retries):
        """Is there nothing more to measure for this repeat? Either a row that counts, or one that
        says why there is none, or as many disturbed windows as are allowed."""
        rows = self.of(point, repeat)
        disturbed = [row for row in rows if DISTURBED & set(row["flags"])]
        return len(rows) > len(disturbed) or len(disturbed) > retries


def _line(row):
    return json.dumps(row, separators=(",", ":")).encode() + b"\n"
