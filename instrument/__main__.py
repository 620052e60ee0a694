"""The instrument: `mayfly sweep | report | tune | compare` (docs/measuring.md). The executable
`mayfly` replaces itself by `python3 THIS_FOLDER COMMAND ARGUMENTS...`, with its own path in the
variable MAYFLY."""
import importlib
import os
import sys

COMMANDS = ("sweep", "report", "tune", "compare")


def main():
    if len(sys.argv) < 2 or sys.argv[1] not in COMMANDS:
        print(f"mayfly: the instrument's commands are {', '.join(COMMANDS)}", file=sys.stderr)
        return 2
    command = sys.argv.pop(1)
    sys.argv[0] = f"mayfly {command}"
    try:
        return importlib.import_module(command).main(sys.argv[1:])
    except BrokenPipeError:  # `| head`; nothing more to say, also not at exit
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


if __name__ == "__main__":
    sys.exit(main())
