#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Makes two new Syncthing homes one pair on loopback: syncthing.py HOME DIR PORT HOME DIR PORT.  The first one sends only."""
import os
import subprocess
import sys
import xml.etree.ElementTree as et


def device_of(home):
    return subprocess.check_output(["syncthing", "serve", "--home=" + home, "--device-id"], text=True).strip()


def put(parent, name, value):
    for old in parent.findall(name):
        parent.remove(old)
    et.SubElement(parent, name).text = value


def configure(home, folder, kind, port, devices, other_port):
    path = os.path.join(home, "config.xml")
    tree = et.parse(path)
    root = tree.getroot()
    me, other = devices
    for old in root.findall("device"):
        root.remove(old)
    for device, address in ((me, "dynamic"), (other, "tcp://127.0.0.1:%s" % other_port)):
        element = et.SubElement(root, "device", id=device, compression="metadata")
        et.SubElement(element, "address").text = address
    element = et.SubElement(root, "folder", id="bench", label="", path=folder, type=kind, rescanIntervalS="3600", fsWatcherEnabled="true",
                            fsWatcherDelayS="10")
    for device in devices:
        et.SubElement(element, "device", id=device)
    options = root.find("options")
    put(options, "listenAddress", "tcp://127.0.0.1:%s" % port)
    for name in ("globalAnnounceEnabled", "localAnnounceEnabled", "relaysEnabled", "natEnabled", "crashReportingEnabled", "startBrowser"):
        put(options, name, "false")
    put(options, "urAccepted", "-1")
    put(options, "autoUpgradeIntervalH", "0")
    put(options, "reconnectionIntervalS", "5")
    root.find("gui").set("enabled", "false")
    tree.write(path)


home_a, dir_a, port_a, home_b, dir_b, port_b = sys.argv[1:]
a, b = device_of(home_a), device_of(home_b)
configure(home_a, dir_a, "sendonly", port_a, (a, b), port_b)
configure(home_b, dir_b, "receiveonly", port_b, (b, a), port_a)
