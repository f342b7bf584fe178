#!/usr/bin/python3
"""What a desktop offers on its session bus, as far as the app uses it: a place for icons beside the clock, and notifications.

`desktop.py serve LOG` stands there until it is ended and writes a JSON line for each icon and each notification into LOG.
`desktop.py menu ITEM` prints the menu of an icon as JSON; `desktop.py choose ITEM ID` clicks on an entry of it.
`desktop.py close WINDOW` closes a window of the X screen.
Sources: StatusNotifierItem, com.canonical.dbusmenu, Desktop Notifications Specification.
"""

import ctypes
import json
import sys

import dbus
import dbus.mainloop.glib
import dbus.service
from gi.repository import GLib

WATCHER = "org.kde.StatusNotifierWatcher"
NOTIFICATIONS = "org.freedesktop.Notifications"
PROPERTIES = "org.freedesktop.DBus.Properties"
MENU = "com.canonical.dbusmenu"


class Desktop(dbus.service.Object):
    def __init__(self, bus, log):
        super().__init__(bus, "/StatusNotifierWatcher")
        self.log, self.told = log, 0

    def write(self, **what):
        self.log.write(json.dumps(what) + "\n")
        self.log.flush()

    @dbus.service.method(WATCHER, in_signature="s", sender_keyword="sender")
    def RegisterStatusNotifierItem(self, service, sender):
        # Either a name, or a path of whoever asks.
        path = service if service.startswith("/") else "/StatusNotifierItem"
        self.write(icon=f"{sender}{path}")

    @dbus.service.method(WATCHER, in_signature="s")
    def RegisterStatusNotifierHost(self, service):
        pass

    @dbus.service.method(PROPERTIES, in_signature="ss", out_signature="v")
    def Get(self, interface, name):
        return {"IsStatusNotifierHostRegistered": True, "ProtocolVersion": 0}.get(name, dbus.Array([], signature="s"))

    @dbus.service.method(PROPERTIES, in_signature="s", out_signature="a{sv}")
    def GetAll(self, interface):
        return {"IsStatusNotifierHostRegistered": True, "ProtocolVersion": 0}

    @dbus.service.signal(WATCHER)
    def StatusNotifierHostRegistered(self):
        pass


class Notices(dbus.service.Object):
    def __init__(self, bus, desktop):
        super().__init__(bus, "/org/freedesktop/Notifications")
        self.desktop, self.last = desktop, 0

    @dbus.service.method(NOTIFICATIONS, in_signature="susssasa{sv}i", out_signature="u")
    def Notify(self, app, replaces, icon, summary, body, actions, hints, timeout):
        self.last += 1
        self.desktop.write(notification=str(summary), body=str(body))
        return self.last

    @dbus.service.method(NOTIFICATIONS, out_signature="as")
    def GetCapabilities(self):
        return ["body"]

    @dbus.service.method(NOTIFICATIONS, out_signature="ssss")
    def GetServerInformation(self):
        return "desktop", "tests", "1", "1.2"

    @dbus.service.method(NOTIFICATIONS, in_signature="u")
    def CloseNotification(self, number):
        pass


def serve(bus, path):
    with open(path, "a", encoding="utf-8") as log:
        desktop = Desktop(bus, log)
        notices = Notices(bus, desktop)
        names = [dbus.service.BusName(name, bus) for name in (WATCHER, NOTIFICATIONS)]
        print("ready", flush=True)
        GLib.MainLoop().run()
        del notices, names


def menu_of(bus, item):
    owner, path = item.split("/", 1)
    icon = dbus.Interface(bus.get_object(owner, f"/{path}"), PROPERTIES)
    return dbus.Interface(bus.get_object(owner, str(icon.Get("org.kde.StatusNotifierItem", "Menu"))), MENU)


def tree(node):
    number, properties, children = node
    # An underscore marks the key of an entry; a doubled one is one.
    label = str(properties.get("label", "")).replace("__", "\0").replace("_", "").replace("\0", "_")
    return {"id": int(number), "label": label, "enabled": bool(properties.get("enabled", True)), "children": [tree(child) for child in children]}


class ClientMessage(ctypes.Structure):
    """Source: Xlib.h, XClientMessageEvent; padded to the size of an XEvent."""

    _fields_ = [
        ("type", ctypes.c_int), ("serial", ctypes.c_ulong), ("send_event", ctypes.c_int), ("display", ctypes.c_void_p),
        ("window", ctypes.c_ulong), ("message_type", ctypes.c_ulong), ("format", ctypes.c_int), ("data", ctypes.c_long * 5),
        ("rest", ctypes.c_long * 24),
    ]


def close(window):
    """What a window manager does when somebody closes a window. Source: ICCCM 4.2.8.1."""
    x = ctypes.CDLL("libX11.so.6")
    x.XOpenDisplay.restype = ctypes.c_void_p
    x.XInternAtom.restype = ctypes.c_ulong
    x.XInternAtom.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int]
    x.XSendEvent.argtypes = [ctypes.c_void_p, ctypes.c_ulong, ctypes.c_int, ctypes.c_long, ctypes.c_void_p]
    x.XCloseDisplay.argtypes = [ctypes.c_void_p]
    display = x.XOpenDisplay(None)
    protocols, delete = (x.XInternAtom(display, name, 0) for name in (b"WM_PROTOCOLS", b"WM_DELETE_WINDOW"))
    message = ClientMessage(type=33, window=window, message_type=protocols, format=32)
    message.data[0] = delete
    x.XSendEvent(display, window, 0, 0, ctypes.byref(message))
    x.XCloseDisplay(display)


def main():
    if sys.argv[1] == "close":
        return close(int(sys.argv[2]))
    dbus.mainloop.glib.DBusGMainLoop(set_as_default=True)
    bus = dbus.SessionBus()
    what, rest = sys.argv[1], sys.argv[2:]
    if what == "serve":
        serve(bus, rest[0])
    elif what == "menu":
        menu = menu_of(bus, rest[0])
        menu.AboutToShow(0)
        print(json.dumps(tree(menu.GetLayout(0, -1, dbus.Array([], signature="s"))[1])))
    elif what == "choose":
        menu_of(bus, rest[0]).Event(int(rest[1]), "clicked", dbus.Int32(0), dbus.UInt32(0))


main()
