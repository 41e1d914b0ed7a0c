"""Writes the __init__.py of a generated package, so that one import gives every name of the contract.

Usage: python python_package.py FOLDER PACKAGE, such as `gen/python everhop.v1`. Called by generate-clients.
"""

import importlib
import sys
from pathlib import Path

folder, package = Path(sys.argv[1]), sys.argv[2]
sys.dont_write_bytecode = True
sys.path.insert(0, str(folder))
home = folder.joinpath(*package.split("."))
init = home / "__init__.py"
init.touch()

names: dict[str, list[str]] = {}
for path in sorted(home.glob("*_pb2.py")):
    described = importlib.import_module(f"{package}.{path.stem}").DESCRIPTOR
    names[path.stem] = [*described.message_types_by_name, *described.enum_types_by_name]
    for enum in described.enum_types_by_name.values():
        names[path.stem] += [value.name for value in enum.values]
    if described.services_by_name:
        names[path.stem + "_grpc"] = [
            name
            for service in described.services_by_name
            for name in (f"{service}Stub", f"{service}Servicer", f"add_{service}Servicer_to_server")
        ]

lines = [f'"""Every name of {package}: messages, enum values, service stubs. Generated; do not edit."""', ""]
for module, exported in names.items():
    if exported:
        lines += [f"from {package}.{module} import (", *(f"    {name}," for name in sorted(exported)), ")"]
lines += ["", "__all__ = [", *(f'    "{name}",' for name in sorted(sum(names.values(), []))), "]", ""]
init.write_text("\n".join(lines))
