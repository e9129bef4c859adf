#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A network that can fail: proxy.py PORT TARGET_PORT forwards connections of 127.0.0.1.

SIGUSR1 cuts all connections at once (resets them), SIGUSR2 swallows everything without a word, SIGHUP lets it flow again.
--cut-every BYTES CUTS resets the connection after so many bytes, CUTS times.  --count FILE keeps the number of all bytes that went
through, in both directions, in FILE.  --orders FIFO takes orders, one a line:

  cut N TIMES    a connection is reset after N bytes more, counted in both directions; so are the TIMES - 1 that follow it
  stall N        after N bytes more a connection swallows everything without a word; new ones flow
  half N         after N bytes more a connection takes no more from whoever sent the last of them, and says so (a FIN)
  flip N         a bit of the N-th byte from now is another one
  delay MS       what comes is passed on so much later
  rate BYTES     a connection passes so many bytes a second, in each direction
  flow           none of these

Prints "listening", and one line a cut, stall, half and flip, when it strikes."""
import argparse
import asyncio
import os
import signal
import socket
import struct

PIECE = 65536


class Proxy:
    def __init__(self, args):
        self.args = args
        self.cut_every, self.cuts = args.cut_every
        self.passed = 0
        self.total = 0
        self.counter = os.open(args.count, os.O_WRONLY | os.O_CREAT, 0o600) if args.count else None
        self.links = set()
        self.swallow = False
        self.delay = self.rate = 0
        self.strike = None      # (what, after how many bytes of a connection, how often)

    # ---- orders ----

    def cut(self):
        self.passed = 0
        for link in list(self.links):
            link.reset()
        print("cut", flush=True)

    def flow(self):
        self.swallow = False
        self.cut()

    def on_signal(self, number):
        if number == signal.SIGUSR1:
            self.cut()
        elif number == signal.SIGUSR2:
            self.swallow = True
        else:
            self.flow()

    def on_order(self, fifo):
        for line in os.read(fifo, 4096).decode().splitlines():
            what, *numbers = line.split()
            numbers = [int(n) for n in numbers]
            if what == "delay":
                self.delay = numbers[0] / 1000
            elif what == "rate":
                self.rate = numbers[0]
            elif what == "flow":
                self.delay = self.rate = 0
                self.strike = None
            else:
                self.strike = (what, numbers[0], numbers[1] if len(numbers) > 1 else 1)
                for link in self.links:
                    link.since = 0

    def struck(self, what):
        self.strike = (what, self.strike[1], self.strike[2] - 1) if self.strike[2] > 1 else None
        print(what, flush=True)

    # ---- bytes ----

    def counted(self, n):
        self.passed += n
        self.total += n
        if self.counter is not None:
            os.pwrite(self.counter, b"%d\n" % self.total, 0)
        if self.cuts and self.passed >= self.cut_every:
            self.cuts -= 1
            self.cut()

    async def accept(self, reader, writer):
        try:
            far = await asyncio.open_connection("127.0.0.1", self.args.target)
        except OSError:
            writer.transport.abort()
            return
        link = Link(self, (reader, writer), far)
        self.links.add(link)
        await link.run()
        self.links.discard(link)

    async def main(self):
        loop = asyncio.get_running_loop()
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP):
            loop.add_signal_handler(number, self.on_signal, number)
        if self.args.orders:
            fifo = os.open(self.args.orders, os.O_RDWR | os.O_NONBLOCK)
            loop.add_reader(fifo, self.on_order, fifo)
        server = await asyncio.start_server(self.accept, "127.0.0.1", self.args.port)
        print("listening", flush=True)
        await server.serve_forever()


class Link:
    """One connection: two directions, and what has passed of it since the last order."""

    def __init__(self, proxy, near, far):
        self.proxy = proxy
        self.ends = (near, far)
        self.since = 0
        self.stalled = False

    def reset(self):
        for _, writer in self.ends:
            s = writer.get_extra_info("socket")
            if s and s.fileno() >= 0:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        self.proxy.links.discard(self)

    async def run(self):
        near, far = self.ends
        await asyncio.gather(self.pass_on(near[0], far[1]), self.pass_on(far[0], near[1]))
        for _, writer in self.ends:
            writer.close()

    async def pass_on(self, reader, writer):
        proxy = self.proxy
        try:
            while data := await reader.read(min(PIECE, proxy.rate // 10 + 1) if proxy.rate else PIECE):
                if proxy.delay:
                    await asyncio.sleep(proxy.delay)
                if not await self.deliver(data, writer):
                    return
                if proxy.rate:
                    await asyncio.sleep(len(data) / proxy.rate)
            if not self.stalled and not proxy.swallow:
                writer.write_eof()
        except OSError:
            self.reset()

    # False: no more of this direction is wanted.
    async def deliver(self, data, writer):
        proxy = self.proxy
        if self.stalled or proxy.swallow:
            return True
        what, after, _ = proxy.strike or (None, 0, 0)
        strikes = what and self.since + len(data) > after
        left = max(after - self.since, 0)
        if strikes and what == "flip":
            data = data[:left] + bytes([data[left] ^ 1]) + data[left + 1:]
        elif strikes:
            data = data[:left]
        self.since += len(data)
        if data:
            writer.write(data)
            await writer.drain()
            proxy.counted(len(data))
        if strikes:
            proxy.struck(what)
            return self.suffer(what, writer)
        return True

    def suffer(self, what, writer):
        if what == "cut":
            self.reset()
        elif what == "stall":
            self.stalled = True
        elif what == "half":
            writer.write_eof()
        return what in ("stall", "flip")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("port", type=int)
    parser.add_argument("target", type=int)
    parser.add_argument("--cut-every", type=int, nargs=2, default=(0, 0))
    parser.add_argument("--count")
    parser.add_argument("--orders")
    asyncio.run(Proxy(parser.parse_args()).main())


if __name__ == "__main__":
    main()
