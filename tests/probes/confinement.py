"""Attempts what a confined step must not be able to do, one in a process each, and says what came of it.

usage: confinement.py SET DIRECTORY OUTSIDER

A line a probe: its name, a tab, and `denied ERRNO`, `failed ERRNO` (for another reason) or `done`. The test runs it unconfined too: a
probe that is denied there as well proves nothing about the rules.
x86_64 only: system calls are given by number.
"""
import ctypes
import errno
import os
import socket
import struct
import subprocess
import sys

libc = ctypes.CDLL(None, use_errno=True)
SET, ROOT, OUTSIDER = sys.argv[1], sys.argv[2], int(sys.argv[3])
IN, OUT, AWAY = (os.path.join(ROOT, name) for name in ("in", "out", "away"))
DENIED = {errno.EPERM, errno.EACCES, errno.ENOSYS, errno.EXDEV, errno.EROFS}


def call(number, *arguments):
    converted = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = libc.syscall(ctypes.c_long(number), *converted)
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def denied_if(condition):
    if condition:
        raise PermissionError(errno.EPERM, "denied")


def path(*names):
    return os.path.join(*names)


def read(name):
    with open(name, "rb") as file:
        file.read(1)


def write(name, mode="r+b"):
    with open(name, mode) as file:
        file.write(b"x")


def run(*words):
    denied_if(subprocess.run(words, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL).returncode != 0)


def unix(kind, address, send=None):
    end = socket.socket(socket.AF_UNIX, kind)
    if send is None:
        end.connect(address)
    else:
        getattr(end, send)(*([[b"x"], [], 0, address] if send == "sendmsg" else [b"x", address]))


def link_and(work, *target):
    name = path(OUT, "link-%d" % os.getpid())
    os.symlink(path(*target), name)
    work(name)


def tmpfile(directory):
    os.close(os.open(directory, os.O_TMPFILE | os.O_RDWR, 0o600))


def remote(number):
    buffer = ctypes.create_string_buffer(8)
    iovec = (ctypes.c_ulong * 2)(ctypes.addressof(buffer), 8)
    call(number, OUTSIDER, iovec, 1, iovec, 1, 0)


def mount(source, target, kind=b"tmpfs", flags=0):
    call(165, source, target, kind, flags, 0)


def namespaced_mount():
    call(272, 0x10000000 | 0x20000)
    mount(AWAY.encode(), OUT.encode(), b"none", 4096)
    read(path(OUT, "secret"))


def execute_set_user_id():
    name = path(OUT, "set-user-id")
    got = subprocess.run([name, "-u"], stdout=subprocess.PIPE, check=True).stdout.strip()
    denied_if(got != b"65534")


def attach():
    call(101, 16, OUTSIDER, 0, 0)
    os.waitpid(OUTSIDER, 0x40000000)
    call(101, 17, OUTSIDER, 0, 0)


def openat2(name, flags):
    how = struct.pack("QQQ", flags, 0, 0)
    os.close(call(437, -100, name, ctypes.create_string_buffer(how, 24), 24))


def x32(number, *arguments):
    call(0x40000000 | number, *arguments)


def other_instructions():
    import mmap
    page = mmap.mmap(-1, 4096, prot=7)
    page.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")  # getpid, asked for as a program of 32 bits does
    ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(page)))()


def typed():
    main, side = os.openpty()
    call(16, side, 0x5412, b"x")


A = socket
NETWORK = {
    "tcp socket": lambda: A.socket(A.AF_INET, A.SOCK_STREAM),
    "tcp6 socket": lambda: A.socket(A.AF_INET6, A.SOCK_STREAM),
    "udp socket": lambda: A.socket(A.AF_INET, A.SOCK_DGRAM),
    "udp6 socket": lambda: A.socket(A.AF_INET6, A.SOCK_DGRAM),
    "ping socket": lambda: A.socket(A.AF_INET, A.SOCK_DGRAM, 1),
    "raw socket": lambda: A.socket(A.AF_INET, A.SOCK_RAW, 1),
    "packet socket": lambda: A.socket(A.AF_PACKET, A.SOCK_RAW),
    "netlink socket": lambda: A.socket(A.AF_NETLINK, A.SOCK_RAW, 0),
    "vsock socket": lambda: A.socket(40, A.SOCK_STREAM),
    "crypto socket": lambda: A.socket(38, 5),
    "connect tcp": lambda: A.create_connection(("127.0.0.1", 9), 1),
    "bind tcp": lambda: A.create_server(("127.0.0.1", 0)),
    "bind udp": lambda: A.socket(A.AF_INET, A.SOCK_DGRAM).bind(("127.0.0.1", 0)),
    "internet socket pair": lambda: call(53, A.AF_INET, 1, 0, (ctypes.c_int * 2)()),
    "connect to a socket file": lambda: unix(A.SOCK_STREAM, path(AWAY, "server")),
    "connect to an abstract socket": lambda: unix(A.SOCK_STREAM, "\0opal-test-%d" % OUTSIDER),
    "send to a socket file": lambda: unix(A.SOCK_DGRAM, path(AWAY, "datagrams"), "sendto"),
    "sendmsg to an abstract socket": lambda: unix(A.SOCK_DGRAM, "\0opal-test-datagrams-%d" % OUTSIDER, "sendmsg"),
    "socket by the other numbering": lambda: x32(41, A.AF_INET, 1, 0),
    "call of another instruction set": other_instructions,
    "io_uring": lambda: call(425, 1, (ctypes.c_char * 120)()),
    "io_uring_enter": lambda: call(426, -1, 0, 0, 0, 0, 0),
    "bash /dev/tcp": lambda: run("bash", "-c", ": < /dev/tcp/127.0.0.1/%s" % open(path(IN, "port")).read()),
    "trace a process outside": attach,
    "memory of a process outside": lambda: os.close(os.open("/proc/%d/mem" % OUTSIDER, os.O_RDONLY)),
}

FILES = {
    "read outside": lambda: read(path(AWAY, "secret")),
    "read by openat2": lambda: openat2(path(AWAY, "secret").encode(), os.O_RDONLY),
    "list outside": lambda: os.listdir(AWAY),
    "list above": lambda: os.listdir(ROOT),
    "read through ..": lambda: read(path(OUT, "..", "away", "secret")),
    "read /etc/shadow": lambda: read("/etc/shadow"),
    "execute outside": lambda: run(path(AWAY, "program")),
    "write outside": lambda: write(path(AWAY, "victim")),
    "append outside": lambda: write(path(AWAY, "victim"), "ab"),
    "truncate on opening": lambda: os.close(os.open(path(AWAY, "victim"), os.O_RDONLY | os.O_TRUNC)),
    "truncate by name": lambda: os.truncate(path(AWAY, "victim"), 1),
    "make a file outside": lambda: write(path(AWAY, "new-%d" % os.getpid()), "wb"),
    "make an unnamed file outside": lambda: tmpfile(AWAY),
    "make a directory outside": lambda: os.mkdir(path(AWAY, "dir-%d" % os.getpid())),
    "make a fifo outside": lambda: os.mkfifo(path(AWAY, "fifo-%d" % os.getpid())),
    "make a socket file outside": lambda: A.socket(A.AF_UNIX).bind(path(AWAY, "sock-%d" % os.getpid())),
    "make a link outside": lambda: os.symlink("secret", path(AWAY, "sym-%d" % os.getpid())),
    "remove a file outside": lambda: os.unlink(path(AWAY, "spare")),
    "remove a directory outside": lambda: os.rmdir(path(AWAY, "empty")),
    "rename a file away": lambda: os.rename(path(AWAY, "secret"), path(OUT, "taken")),
    "rename a file over one outside": lambda: os.rename(path(OUT, "own"), path(AWAY, "victim")),
    "rename outside": lambda: os.rename(path(AWAY, "victim"), path(AWAY, "victim2")),
    "exchange with a file outside": lambda: call(316, -100, path(OUT, "own").encode(), -100, path(AWAY, "victim").encode(), 2),
    "hard link to a file outside": lambda: os.link(path(AWAY, "secret"), path(OUT, "hard-%d" % os.getpid())),
    "hard link into outside": lambda: os.link(path(OUT, "own"), path(AWAY, "hard-%d" % os.getpid())),
    "read through a link": lambda: link_and(read, AWAY, "secret"),
    "write through a link": lambda: link_and(write, AWAY, "victim"),
    "make through a dangling link": lambda: link_and(lambda name: write(name, "wb"), AWAY, "dangling"),
    "write where only reading is listed": lambda: write(path(IN, "text")),
    "make where only reading is listed": lambda: write(path(IN, "new-%d" % os.getpid()), "wb"),
    "remove where only reading is listed": lambda: os.unlink(path(IN, "spare")),
    "read through /proc/self/root": lambda: read("/proc/self/root" + path(AWAY, "secret")),
    "read through the root of a process outside": lambda: read("/proc/%d/root%s" % (OUTSIDER, path(AWAY, "secret"))),
    "read through the directory of a process outside": lambda: read("/proc/%d/cwd/secret" % OUTSIDER),
    "read through a descriptor of a process outside": lambda: read("/proc/%d/fd/0" % OUTSIDER),
    "environment of a process outside": lambda: read("/proc/%d/environ" % OUTSIDER),
    "write a setting of the kernel": lambda: os.close(os.open("/proc/sys/kernel/core_pattern", os.O_WRONLY)),
    "make a character device": lambda: os.mknod(path(OUT, "char-%d" % os.getpid()), 0o20600, os.makedev(1, 1)),
    "make a block device": lambda: os.mknod(path(OUT, "block-%d" % os.getpid()), 0o60600, os.makedev(7, 0)),
    "read memory of the kernel": lambda: os.close(os.open("/proc/kcore", os.O_RDONLY)),
    "open a terminal of others": lambda: os.close(os.open("/dev/ptmx", os.O_RDWR)),
    "bind mount": lambda: mount(AWAY.encode(), OUT.encode(), b"none", 4096),
    "mount in a namespace": namespaced_mount,
    "open by handle": lambda: call(304, -1, (ctypes.c_char * 128)(), 0),
    "read with io_uring": lambda: call(425, 1, (ctypes.c_char * 120)()),
}

ATTRIBUTES = {
    "chmod": lambda: os.chmod(path(AWAY, "victim"), 0o666),
    "fchmodat": lambda: call(268, -100, path(AWAY, "victim").encode(), 0o666),
    "fchmodat2": lambda: call(452, -100, path(AWAY, "victim").encode(), 0o666, 0),
    "chmod by descriptor": lambda: os.fchmod(os.open(path(IN, "text"), os.O_RDONLY), 0o666),
    "chown": lambda: os.chown(path(AWAY, "victim"), os.getuid(), os.getgid()),
    "lchown": lambda: os.lchown(path(AWAY, "victim"), os.getuid(), os.getgid()),
    "set times": lambda: os.utime(path(AWAY, "victim"), (1, 1)),
    "set times by number": lambda: call(235, path(AWAY, "victim").encode(), 0),
    "set an attribute": lambda: os.setxattr(path(AWAY, "victim"), "user.x", b"1"),
    "remove an attribute": lambda: os.removexattr(path(AWAY, "victim"), "user.y"),
    "write anywhere": lambda: write(path(OUT, "own")),
}

PRIVILEGES = {
    "change the user": lambda: os.setuid(65534),
    "change the groups": lambda: os.setgroups([65534]),
    "give a file away": lambda: os.chown(path(OUT, "own"), 65534, 65534),
    "read a file of others": lambda: read(path(OUT, "of-others")),
    "set-user-id program": execute_set_user_id,
    "signal a process outside": lambda: os.kill(OUTSIDER, 0),
    "stop a process outside": lambda: os.kill(OUTSIDER, 18),
    "trace a process outside": attach,
    "read memory of a process outside": lambda: remote(310),
    "write memory of a process outside": lambda: remote(311),
    "open memory of a process outside": lambda: os.close(os.open("/proc/%d/mem" % OUTSIDER, os.O_RDONLY)),
    "compare with a process outside": lambda: call(312, os.getpid(), OUTSIDER, 1, 0, 0),
    "take a descriptor": lambda: call(438, call(434, OUTSIDER, 0), 1, 0),
    "mount": lambda: mount(b"none", OUT.encode()),
    "new mount interface": lambda: call(430, b"tmpfs", 0),
    "clone a mount": lambda: call(428, -100, OUT.encode(), 1),
    "unmount": lambda: call(166, path(OUT, "nothing").encode(), 0),
    "change the root": lambda: os.chroot(OUT),
    "pivot the root": lambda: call(155, OUT.encode(), OUT.encode()),
    "user namespace": lambda: call(272, 0x10000000),
    "mount namespace": lambda: call(272, 0x20000),
    "network namespace": lambda: call(272, 0x40000000),
    "process namespace": lambda: call(272, 0x20000000),
    "namespace by clone": lambda: call(56, 0x10000000 | 17, 0, 0, 0, 0),
    "namespace by clone3": lambda: call(435, 0, 0),
    "enter a namespace": lambda: call(308, os.open("/proc/%d/ns/uts" % os.getpid(), os.O_RDONLY), 0),
    "bpf": lambda: call(321, 0, (ctypes.c_char * 128)(), 128),
    "perf": lambda: call(298, (ctypes.c_char * 128)(), 0, -1, -1, 0),
    "userfaultfd": lambda: call(323, 0),
    "key of the kernel": lambda: call(248, b"user", b"opal-test", b"x", 1, -3),
    "keyring": lambda: call(250, 0, -3, 0),
    "request a key": lambda: call(249, b"user", b"opal-no-such-key", 0, 0),
    "load a module": lambda: call(175, b"x", 1, b""),
    "load a module by descriptor": lambda: call(313, -1, b"", 0),
    "unload a module": lambda: call(176, b"opal_no_such_module", 0x800),
    "load a kernel": lambda: call(246, 0, -1, 0, 0xffffffff),
    "swap": lambda: call(167, path(OUT, "nothing").encode(), 0),
    "reboot": lambda: call(169, 0, 0, 0, 0),
    "set the host name": lambda: call(170, 0, 9),
    "set the domain name": lambda: call(171, 0, 9),
    "set the clock": lambda: call(227, 99, 0),
    "set the time of day": lambda: call(164, 1, 0),
    "accounting": lambda: call(163, path(OUT, "nothing").encode()),
    "messages of the kernel": lambda: call(103, 10, 0, 0),
    "make a device": lambda: os.mknod(path(OUT, "null-%d" % os.getpid()), 0o20600, os.makedev(1, 3)),
    "type into a terminal": typed,
    "io_uring": lambda: call(425, 1, (ctypes.c_char * 120)()),
    "raise the priority": lambda: os.nice(-5),
    "raw socket": lambda: A.socket(A.AF_INET, A.SOCK_RAW, 1),
    "schedule in real time": lambda: os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1)),
}


def attempt(name, work):
    """In a process of its own, so that one probe has no influence on the next."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        if SET == "control" and libc.unshare(0x20000) == 0:
            libc.mount(b"none", b"/", None, ctypes.c_ulong(0x44000), None)
        try:
            work()
            said = "done"
        except OSError as error:
            number = error.errno or 0
            said = ("denied " if number in DENIED else "failed ") + errno.errorcode.get(number, str(number))
        except BaseException as error:
            said = "failed " + repr(error)
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    said = b""
    while chunk := os.read(reading, 4096):
        said += chunk
    os.close(reading)
    _, status = os.waitpid(child, 0)
    if said.startswith(b"done"):
        return "done"
    return said.decode() or ("denied SIGSYS" if status & 127 == 31 else "failed by signal %d" % (status & 127))


sets = {"network": NETWORK, "files": FILES, "attributes": ATTRIBUTES, "privileges": PRIVILEGES}
for key, probes in sets.items():
    if SET in (key, "control"):
        for name, work in probes.items():
            print("%s: %s\t%s" % (key, name, attempt(name, work)))
            sys.stdout.flush()
