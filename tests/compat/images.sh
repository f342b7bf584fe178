#!/bin/sh
# Makes the images that other people's suites name, out of this machine's static busybox, on the engine of DOCKER_HOST;
# with an address (host:port) of a registry without a password, pushes them there, too. Needs gcc and busybox-static.
set -eu
registry=${1:-}
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
for directory in bin dev etc home lib proc sys usr/bin usr/sbin var/opt var/spool/mail www; do mkdir -p "$root/$directory"; done
mkdir -m 700 "$root/root"
mkdir -m 1777 "$root/tmp"
cp /bin/busybox "$root/bin/busybox"
for applet in $(/bin/busybox --list); do [ "$applet" = busybox ] || ln "$root/bin/busybox" "$root/bin/$applet"; done
cat > "$root/etc/passwd" <<'END'
root:x:0:0:root:/root:/bin/sh
daemon:x:1:1:daemon:/usr/sbin:/bin/false
postgres:x:70:70::/var/lib/postgresql:/bin/sh
nobody:x:65534:65534:nobody:/home:/bin/false
END
cat > "$root/etc/group" <<'END'
root:x:0:
daemon:x:1:
wheel:x:10:root
audio:x:29:
staff:x:50:
postgres:x:70:
users:x:100:
nobody:x:65534:
END
touch "$root/etc/shadow"
# Debian's busybox has neither of these two.
cat > "$root/bin/addgroup" <<'END'
#!/bin/sh
gid=1500
while [ $# -gt 1 ]; do case $1 in -g) gid=$2; shift 2 ;; *) shift ;; esac; done
echo "$1:x:$gid:" >> /etc/group
END
cat > "$root/bin/adduser" <<'END'
#!/bin/sh
uid=1500 group=
while [ $# -gt 1 ]; do case $1 in -u) uid=$2; shift 2 ;; -G) group=$2; shift 2 ;; -s | -h) shift 2 ;; *) shift ;; esac; done
gid=$uid
if [ -n "$group" ]; then gid=$(grep "^$group:" /etc/group | cut -d: -f3); else echo "$1:x:$gid:" >> /etc/group; fi
echo "$1:x:$uid:$gid::/home/$1:/bin/sh" >> /etc/passwd
mkdir -p "/home/$1" && chown "$uid:$gid" "/home/$1"
END
printf '#!/bin/sh\nexec httpd "$@"\n' > "$root/usr/sbin/run_uhttpd"
mkdir "$root/etc/config"
printf '\nconfig uhttpd main\n' > "$root/etc/config/uhttpd"
echo hello > "$root/www/index.html"
chmod 755 "$root/bin/addgroup" "$root/bin/adduser" "$root/usr/sbin/run_uhttpd"
path='ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
tar -C "$root" -c . | docker import -c 'CMD ["sh"]' -c "$path" - busybox:latest
tar -C "$root" -c . | docker import -c 'CMD ["sh"]' -c "$path" -m glibc - busybox:glibc
cat > "$root/hello.c" <<'END'
#include <unistd.h>
int main(void) {
    static const char text[] = "\nHello from Docker!\n\n";
    return write(1, text, sizeof text - 1) < 0;
}
END
gcc -O1 -static -o "$root/hello" "$root/hello.c"
tar -C "$root" -c hello | docker import -c 'CMD ["/hello"]' - hello-world:latest
tar -C "$root" -c hello | docker import --platform linux/arm64 -c 'CMD ["/hello"]' - hello-world:arm64
for name in alpine:latest alpine:3.10 debian:bookworm-slim fussybeaver/uhttpd:latest cubby-test/busybox:latest; do
    docker tag busybox:latest "$name"
done
for tag in frozen amd64 linux; do docker tag hello-world:latest "hello-world:$tag"; done
[ -n "$registry" ] || exit 0
# Names without a host are asked of the registry as a mirror of the Hub: below `library/`.
for name in hello-world:linux hello-world:latest alpine:latest fussybeaver/uhttpd:latest library/hello-world:latest \
    library/alpine:latest library/alpine:3.10 library/busybox:latest; do
    docker tag "${name#library/}" "$registry/$name"
    docker push -q "$registry/$name"
    docker rmi "$registry/$name" > /dev/null
done
