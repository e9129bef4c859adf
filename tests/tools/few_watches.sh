#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Runs a command in a user namespace of its own that allows few inotify watches: few_watches.sh LIMIT COMMAND...
#
# The machine's own limits stay as they are.  `few_watches.sh --set LIMIT PID` changes the limit of a command that runs so.
if [ "$1" = --set ]; then
	exec nsenter --user --preserve-credentials --target "$3" sh -c 'echo "$1" >/proc/sys/user/max_inotify_watches' sh "$2"
fi
exec unshare --user --map-root-user sh -c 'echo "$1" >/proc/sys/user/max_inotify_watches && shift && exec "$@"' sh "$@"
