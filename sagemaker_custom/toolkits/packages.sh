#!/bin/sh
# Names of packages → installed by the package manager that the image has. NAME=VERSION works with each of them;
# @compiler, @headers, @pip and @java stand for what distributions name differently.
# SAGEMAKER_CUSTOM_CA: a PEM file that is trusted besides, or nothing.
set -eu
ca=${SAGEMAKER_CUSTOM_CA:-}

named() {
    case "$1:$2" in
        apt:@compiler) echo gcc libc6-dev ;;
        apt:@headers) echo python3-dev ;;
        apt:@pip) echo python3-pip ;;
        apt:@java) echo default-jre-headless ;;
        apk:@compiler) echo gcc musl-dev linux-headers ;;
        apk:@headers) echo python3-dev ;;
        apk:@pip) echo py3-pip ;;
        apk:@java) echo openjdk17-jre-headless ;;
        rpm:@compiler) echo gcc glibc-devel ;;
        rpm:@headers) echo python3-devel ;;
        rpm:@pip) echo python3-pip ;;
        rpm:@java) echo java-headless ;;
        rpm:*) echo "$2" | sed 's/=/-/' ;;
        *) echo "$2" ;;
    esac
}

family=
for manager in apt-get dnf microdnf yum apk; do
    if command -v "$manager" > /dev/null; then
        case "$manager" in apt-get) family=apt ;; apk) family=apk ;; *) family=rpm ;; esac
        break
    fi
done
if [ -z "$family" ]; then
    echo "the image has none of apt-get, dnf, microdnf, yum and apk, so $* cannot be installed in it" >&2
    exit 1
fi

names=
for name in "$@"; do
    names="$names $(named "$family" "$name")"
done

# Names of packages have no spaces: the splitting is wanted.
# shellcheck disable=SC2086
case "$manager" in
    apt-get)
        # Java's alternatives are linked into this folder, and slim images lack it.
        mkdir -p /usr/share/man/man1
        apt-get ${ca:+-o Acquire::https::CAInfo="$ca"} update
        DEBIAN_FRONTEND=noninteractive apt-get ${ca:+-o Acquire::https::CAInfo="$ca"} \
            install -y --no-install-recommends $names
        rm -rf /var/lib/apt/lists/*
        ;;
    apk)
        apk add --no-cache $names
        ;;
    microdnf)
        microdnf install -y $names
        microdnf clean all
        ;;
    *)
        "$manager" ${ca:+--setopt=sslcacert="$ca"} install -y $names
        "$manager" clean all
        ;;
esac
