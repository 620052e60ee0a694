#!/usr/bin/env python3
"""Checks a Promela model with spin, or that spin catches a bug planted in it.

  check_model.py MODEL.pml [DEFINE...]     every ltl property holds, and nothing deadlocks
  check_model.py MODEL.pml --bug BUG.sed   after the edit a property fails, or it deadlocks

A bug is a sed -E script whose first lines say what it breaks, and `# define: ...` under which
settings of the model. An edit that changes nothing is an error: the model has moved on.
"""
import argparse
import pathlib
import re
import subprocess
import sys
import tempfile

SECONDS_MAX = 900


def run(command, folder):
    return subprocess.run(command, cwd=folder, timeout=SECONDS_MAX, text=True,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def build(text, defines, folder, name, flags):
    (folder / "model.pml").write_text(text)
    generated = run(["spin", *defines, "-a", "model.pml"], folder)
    if generated.returncode != 0 or not (folder / "pan.c").exists() or "Error" in generated.stdout:
        sys.exit(f"spin refuses the model:\n{generated.stdout}")
    compiled = run(["gcc", "-w", "-DNFAIR=3", *flags, "-o", name, "pan.c"], folder)
    if compiled.returncode != 0:
        sys.exit(compiled.stdout)


def properties_of(text, defines, folder):
    """The names of the ltl properties that these settings leave in the model."""
    (folder / "model.c").write_text(text)
    return re.findall(r"^ltl (\w+)", run(["gcc", "-E", "-P", *defines, "model.c"], folder).stdout,
                      re.M)


def verdict(folder, command):
    """(errors, states) of one verification; exits if it was not exhaustive."""
    out = run(command, folder).stdout
    errors = re.search(r"errors: (\d+)", out)
    states = re.search(r"(\d+(?:\.\d+)?(?:e\+\d+)?) states, stored", out)
    if not errors or not states or "max search depth too small" in out or "out of memory" in out:
        sys.exit(f"{' '.join(command)} did not finish:\n{out}")
    return int(errors[1]), int(float(states[1])), out


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model", type=pathlib.Path)
    parser.add_argument("--bug", type=pathlib.Path)
    options, defines = parser.parse_known_args()

    # A bug is found soon: compiling is most of it. Processes in reverse order: sooner. (Not where
    # fairness matters: with -DREVERSE, spin misses cycles.)
    optimize = "-O0" if options.bug else "-O1"
    order = ["-DREVERSE"] if options.bug else []
    text = options.model.read_text()
    if options.bug:
        defines += " ".join(re.findall(r"^# define: (.*)", options.bug.read_text(), re.M)).split()
        edited = subprocess.run(["sed", "-E", "-f", options.bug.resolve()], input=text, text=True,
                                check=True, stdout=subprocess.PIPE).stdout
        if edited == text:
            sys.exit(f"{options.bug.name} no longer changes {options.model.name}")
        text = edited

    with tempfile.TemporaryDirectory(prefix="mayfly-model-") as folder:
        folder = pathlib.Path(folder)
        properties = properties_of(text, defines, folder)
        if properties:
            build(text, defines, folder, "pan", [optimize])
        for name in properties:
            errors, states, out = verdict(folder, ["./pan", "-a", "-f", "-m4000000", "-N", name])
            print(f"{name}: {errors} errors in {states} states", flush=True)
            if errors and options.bug:
                print(f"caught: {options.bug.stem} breaks {name}")
                return
            if errors:
                trail = run(["./pan", "-r", "-N", name, "-p"], folder).stdout
                sys.exit(f"{out}\n{trail}")
        build(text, defines, folder, "deadlock",
              [optimize, *order, "-DSAFETY", "-DNOCLAIM", "-DCOLLAPSE"])
        errors, states, out = verdict(folder, ["./deadlock", "-m4000000"])
        print(f"no deadlock, no failed assertion: {errors} errors in {states} states")
        if errors and options.bug:
            print(f"caught: {options.bug.stem} ends in {re.search(r'pan:1: (.*)', out)[1]}")
        elif options.bug:
            sys.exit(f"not caught: {options.bug.stem}")
        elif errors:
            trail = run(["./deadlock", "-r", "-p"], folder).stdout
            sys.exit(f"{out}\n{trail}")


main()
