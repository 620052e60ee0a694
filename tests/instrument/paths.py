"""Makes the instrument's modules importable, and knows the executable under test."""
import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "instrument"))
os.environ.setdefault("MAYFLY", str(ROOT / "build/release/bin/mayfly"))
MAYFLY = os.environ["MAYFLY"]
