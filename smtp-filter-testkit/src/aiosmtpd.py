"""A mail server on port 25 that keeps what it gets, by aiosmtpd. Arguments: folder, certificate, key, user, password."""

import asyncio
import itertools
import logging
import os
import ssl
import sys

from aiosmtpd.smtp import SMTP, AuthResult

folder, certificate, key, user, password = sys.argv[1:]
# The library's own log, with every line it reads.
logging.basicConfig(stream=sys.stderr, level=logging.DEBUG, format="%(name)s: %(message)s")
numbers = itertools.count()


class Keep:
    async def handle_DATA(self, server, session, envelope):
        # As other servers write it into the header.
        protocol = "ESMTP" if session.extended_smtp else "SMTP"
        protocol += "S" if session.ssl else ""
        protocol += "A" if session.authenticated else ""
        header = f"Received: from {session.host_name} by server.example with {protocol}\n".encode()
        name = f"{next(numbers):08}"
        part = os.path.join(folder, "tmp", name)
        with open(part, "wb") as file:
            file.write(header + envelope.original_content.replace(b"\r\n", b"\n"))
        os.rename(part, os.path.join(folder, "new", name))
        return "250 Ok"


def authenticate(server, session, envelope, mechanism, data):
    right = data.login == user.encode() and data.password == password.encode()
    return AuthResult(success=right, handled=False)


async def serve():
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate, key)
    loop = asyncio.get_running_loop()
    session = lambda: SMTP(
        Keep(),
        hostname="server.example",
        tls_context=tls,
        authenticator=authenticate,
        auth_require_tls=False,
        data_size_limit=None,
        loop=loop,
    )
    server = await loop.create_server(session, host=["0.0.0.0", "::"], port=25)
    await server.serve_forever()


asyncio.run(serve())
