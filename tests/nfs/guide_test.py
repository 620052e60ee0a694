#!/usr/bin/env python3
"""docs/writing-an-nf.md as its reader meets it: writes every file it shows, runs every command it
gives (against an installed prefix in an empty home directory), and looks at what comes out.

guide_test.py CMAKE BUILD SOURCE
"""

import os
import re
import subprocess
import sys
import tempfile

CMAKE, BUILD, SOURCE = sys.argv[1:4]


def blocks(text):
    """(language, the file it is of or None, content) of every fenced block. A block belongs to the
    file that the line above it names (`NAME`:), else to the same file as the one before."""
    file = None
    for lead, language, content in re.findall(r"([^\n]*)\n\n?```(\w+)\n(.*?)```", text, re.DOTALL):
        named = re.search(r"`([\w.]+)`:", lead)
        if named:
            file = named.group(1)
        yield language, None if language == "sh" else file, content


class Reader:
    def __init__(self, home):
        self.home = home
        self.folder = home
        self.environment = {**os.environ, "HOME": home}
        self.outputs = []

    def run(self, commands):
        script = commands.replace("tools/build\n", "")  # the build under test is there already
        script = re.sub(r"^cmake ", CMAKE + " ", script, flags=re.MULTILINE)
        script = script.replace("--install build/release", f"--install {BUILD}")
        script = script.replace("mayfly run", f"mayfly run --name guide-{os.getpid()}")
        done = subprocess.run(["bash", "-ec", script + "\npwd >&3"], cwd=self.folder, text=True,
                              env=self.environment, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=200, pass_fds=(3,))
        self.outputs.append(done.stdout)
        print(f"$ {commands}{done.stdout}", flush=True)
        return done.returncode

    def append(self, name, content):
        with open(os.path.join(self.folder, name), "a") as file:
            file.write(content)


def check(holds, what):
    if not holds:
        sys.exit(f"FAILED: {what}")


def examples_are_the_guides_files(folder):
    """The finished example is what the reader has typed, comments and extra tests aside."""
    for name in ("CMakeLists.txt", "quota.cc", "quota.yaml"):
        with open(os.path.join(folder, name)) as mine, \
             open(os.path.join(SOURCE, "examples/quota", name)) as example:
            typed = [line.strip() for line in mine if line.strip()]
            shipped = [line.strip() for line in example if line.strip()]
        if shipped[0].startswith(("//", "#")) and shipped[0] not in typed:
            shipped = shipped[1:]
        check(typed == shipped, f"{name} of the guide differs from examples/quota/{name}")


def main():
    with open(os.path.join(SOURCE, "docs/writing-an-nf.md")) as guide:
        text = guide.read()
    with tempfile.TemporaryDirectory() as home:
        reader = Reader(home)
        where = os.path.join(home, "where")
        os.dup2(os.open(where, os.O_WRONLY | os.O_CREAT), 3)
        codes = []
        for language, file, content in blocks(text):
            if language == "sh":
                os.ftruncate(3, 0), os.lseek(3, 0, os.SEEK_SET)
                codes.append(reader.run(content))
                with open(where) as pwd:
                    reader.folder = pwd.read().strip() or reader.folder
            else:
                reader.append(file, content)
        install, folder, build, by_path, by_name, wrong = codes
        check([install, folder, build] == [0, 0, 0], "installing and building")
        check("100% tests passed" in reader.outputs[2], "the reader's own test")
        for code, output in ((by_path, reader.outputs[3]), (by_name, reader.outputs[4])):
            check(code == 0, "a run of three seconds")
            check(re.search(r"packets out +1,000\n", output), "ten packets of each of 100 flows")
            check("nf_drop" in output, "the others, under their reason")
        check(wrong == 2, "a wrong argument is refused with exit status 2")
        check(re.search(r"wrong.yaml:\d+: .*60B is the least", reader.outputs[5]),
              "one line with file, line and remedy")
        examples_are_the_guides_files(reader.folder)
    print("the guide holds")


main()
