#!/bin/sh
# Builds the Go programs: build.sh DIR. Needs Debian's golang-go, golang-google-protobuf-dev, golang-golang-x-crypto-dev,
# protoc-gen-go and protobuf-compiler, and no network.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=$1
mkdir -p "$out/src/interop"
for program in master sub golden; do
    cp -R "$here/$program" "$out/src/interop/"
done
protoc --proto_path="$here" --go_out="$out/src" wire.proto
cd "$out"
export GO111MODULE=off GOFLAGS= GOPATH="$out:/usr/share/gocode" GOCACHE="${GOCACHE:-$out/cache}"
go vet interop/master interop/sub interop/golden
go build -o . interop/master interop/sub interop/golden
