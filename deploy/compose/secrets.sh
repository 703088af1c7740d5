#!/bin/sh
# Makes the two secrets that compose.yaml mounts, unless they are there.
set -eu
folder="$(dirname "$0")/secrets"
mkdir -p "$folder"
for name in token_secret cursor_key; do
  # Readable by all on purpose: compose mounts the file as it is, and the container's user is not yours.
  [ -e "$folder/$name" ] || openssl rand -base64 32 > "$folder/$name"
  chmod 644 "$folder/$name"
done
echo "secrets in $folder"
