"""Put on PYTHONPATH by a test: this process and its children cannot use the network.

Every attempt to look up or reach a host, or to listen to more than this machine, is written to the
file NETWORK_LOG and refused. Sockets between processes of this machine (AF_UNIX) are allowed.
"""

import os
import sys
from typing import Any

REFUSED = {
    "socket.connect", "socket.sendto", "socket.sendmsg", "socket.bind", "socket.getaddrinfo",
    "socket.gethostbyname", "socket.gethostbyaddr", "socket.getnameinfo",
}  # fmt: skip
THIS_MACHINE = ("127.0.0.1", "::1", "localhost")


def refuse(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in REFUSED:
        return
    takes_socket = event in ("socket.connect", "socket.sendto", "socket.sendmsg", "socket.bind")
    address = arguments[1] if takes_socket else arguments
    if isinstance(address, (str, bytes)) or address is None:  # AF_UNIX
        return
    if event == "socket.bind" and address[0] in THIS_MACHINE:
        return
    with open(os.environ["NETWORK_LOG"], "a", encoding="utf-8") as log:
        log.write(f"{event} {address} in {sys.argv[:3]}\n")
    raise ConnectionRefusedError(f"{event} {address}: the network is refused in this test")


if "NETWORK_LOG" in os.environ:
    sys.addaudithook(refuse)
