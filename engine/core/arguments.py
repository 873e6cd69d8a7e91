"""Reads the command lines of `engine.doctor`, `models` and Hydra's options: a mistake is one line."""

import argparse
import re
import sys
from typing import NoReturn

CHOICE = re.compile(r"(.*): invalid choice: (.*) \(choose from (.*)\)")


class OneLineParser(argparse.ArgumentParser):
    """Ends with status 2 and one line where argparse would print its usage too."""

    def error(self, message: str) -> NoReturn:
        line = message.removeprefix("argument ")
        if wrong := CHOICE.fullmatch(line):
            line = f"{wrong[1]}: expected one of {wrong[3].replace(chr(39), '')}, got {wrong[2]}"
        print(f"{self.prog}: {line}; see {self.prog} --help", file=sys.stderr)
        sys.exit(2)
